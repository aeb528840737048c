"""Play CartPole with an exported LiteRT file: neither TensorFlow nor Keras.

`zoo export dqn-cartpole --quantize int8 --out agent` writes the file, and
`python docs/litert_cartpole.py agent` lets it play.
"""

import sys
from pathlib import Path

import gymnasium
from ai_edge_litert.interpreter import Interpreter

file = Path(sys.argv[1]) / "model.tflite"
policy = Interpreter(str(file)).get_signature_runner("serving_default")

environment = gymnasium.make("CartPole-v1")
observation, _ = environment.reset(seed=0)
total, over = 0.0, False
while not over:
    answer = policy(observation=observation[None])  # its values, and the best action
    step = environment.step(int(answer["action"][0]))
    observation, reward, terminated, truncated, _ = step
    total += float(reward)
    over = terminated or truncated
environment.close()
print(f"{total:.0f} steps upright")
