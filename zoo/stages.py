"""How the stages of a network are named, so that what looks for them finds them in any model."""

import re

_STAGE = re.compile(r"stage\d+")
_AFTER = ("pooled", "code")  # what a builder names behind or between its stages


def block_name(stage: int, block: int, blocks: int) -> str:
    """Return the name of a block; the last one of a stage has the name of the stage itself.

    Args:
        stage: number of the stage, from 1.
        block: number of the block in it, from 1.
        blocks: how many the stage has.

    Example:
        >>> from zoo.stages import block_name
        >>> [block_name(2, block, 3) for block in (1, 2, 3)]
        ['stage2_block1', 'stage2_block2', 'stage2']
    """
    return f"stage{stage}" if block == blocks else f"stage{stage}_block{block}"


def is_stage(name: str) -> bool:
    """Return whether a layer's name is that of a stage: "stage1", "stage2" …."""
    return _STAGE.fullmatch(name) is not None


def is_feature(name: str) -> bool:
    """Return whether a layer's name is that of a stage, or of what comes after the last one."""
    return is_stage(name) or name in _AFTER
