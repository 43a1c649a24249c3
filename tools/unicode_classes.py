#!/usr/bin/env python3
"""Writes src/tokens/unicode_classes.inc: the class of every code point, as far as
the splitters of the OpenAI encodings tell characters apart.

Source: the Unicode Character Database 16.0.0 (the version that the tiktoken
package splits by), through the PyPI package unicodedata2 of that version:

    pip install unicodedata2==16.0.0 && tools/unicode_classes.py
"""
import pathlib

import unicodedata2 as ucd

VERSION = "16.0.0"
BLOCK = 128  # code points
LIMIT = 0x110000
CLASSES = ["OTHER", "UPPER", "LOWER", "LETTER", "MARK", "NUMBER", "SPACE", "NEWLINE"]
# Property White_Space; the database's categories do not have it.
SPACES = {0x09, 0x0B, 0x0C, 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B),
          0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
OUT = pathlib.Path(__file__).resolve().parent.parent / "src/tokens/unicode_classes.inc"


def class_of(code):
    if code in (0x0A, 0x0D):
        return CLASSES.index("NEWLINE")
    if code in SPACES:
        return CLASSES.index("SPACE")
    category = ucd.category(chr(code))
    if category in ("Lu", "Lt"):
        return CLASSES.index("UPPER")
    if category == "Ll":
        return CLASSES.index("LOWER")
    if category in ("Lm", "Lo"):
        return CLASSES.index("LETTER")
    return {"M": CLASSES.index("MARK"), "N": CLASSES.index("NUMBER")}.get(category[0], 0)


def rows(values, per_row):
    for at in range(0, len(values), per_row):
        yield "\t" + "".join("%d," % value for value in values[at:at + per_row])


def main():
    if ucd.unidata_version != VERSION:
        raise SystemExit("unicodedata2 is %s, not %s" % (ucd.unidata_version, VERSION))
    index, blocks = [], {}
    for start in range(0, LIMIT, BLOCK):
        classes = [class_of(code) for code in range(start, start + BLOCK)]
        # Two to a byte, the even code point in the low half.
        packed = tuple(low | high << 4 for low, high in zip(classes[::2], classes[1::2]))
        index.append(blocks.setdefault(packed, len(blocks)))
    assert len(blocks) <= 256
    # Blocks at the end are all alike: an index that stops earlier says the same.
    while len(index) > 1 and index[-1] == index[-2]:
        index.pop()
    lines = ["/* Written by tools/unicode_classes.py from the Unicode Character Database",
             " * %s (PyPI package unicodedata2). Not to be edited. */" % VERSION,
             "enum { CLASS_BLOCK = %d, CLASS_INDEX = %d };" % (BLOCK, len(index)),
             "/* The block of each %d code points; the last one goes on to the end. */" % BLOCK,
             "static const unsigned char class_index[CLASS_INDEX] = {", *rows(index, 32), "};",
             "/* Blocks: two classes to a byte, the even code point in the low half. */",
             "static const unsigned char class_blocks[%d][CLASS_BLOCK / 2] = {" % len(blocks)]
    for block in blocks:
        lines += ["\t{", *rows(block, 32), "\t},"]
    lines.append("};")
    OUT.write_text("\n".join(lines) + "\n")
    print("%s: %d blocks, %d bytes of table" % (OUT.name, len(blocks),
                                                len(index) + len(blocks) * BLOCK // 2))


if __name__ == "__main__":
    main()
