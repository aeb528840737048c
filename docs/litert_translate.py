"""Translate with an exported LiteRT file: neither TensorFlow nor Keras.

`zoo export transformer-multi30k-de-en --out translator` writes the file and its vocabulary, and
`python docs/litert_translate.py translator "Ein Hund läuft im Schnee."` asks it.
"""

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from tokenizers import Tokenizer

END = 3  # number of the token that ends a sentence

folder = Path(sys.argv[1])
files = json.loads((folder / "model.json").read_text())["tokenizers"]
source, target = (Tokenizer.from_file(str(folder / files[s]["file"])) for s in ("source", "target"))
source.encode_special_tokens = True  # what looks like a special token in a sentence is text

translate = Interpreter(str(folder / "model.tflite")).get_signature_runner("greedy")
places = translate.get_input_details()["source"]["shape_signature"][1]  # -1 where there may be any
ids = [*source.encode(" ".join(sys.argv[2:])).ids, END]
if places > 0:
    ids = [*ids[:-1][: places - 1], END]
    ids += [0] * (places - len(ids))
(answer,) = translate(source=np.array([ids], "int32"))["answers"].tolist()
if END in answer:
    answer = answer[: answer.index(END)]
print(target.decode(answer, skip_special_tokens=False))
