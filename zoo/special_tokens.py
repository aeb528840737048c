"""The four tokens that every vocabulary begins with."""

SPECIAL = ("[PAD]", "[UNK]", "[START]", "[END]")
PADDING, UNKNOWN, START, END = range(len(SPECIAL))
