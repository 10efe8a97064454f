#!/usr/bin/env python3
"""Writes the outlines of a font's characters as lines of text, which src/trends/chart/font.rs draws without a font parser.

    pip install fonttools==4.68.0
    tools/font/outlines.py Inter-Regular.otf >src/trends/chart/fonts/regular.txt
    tools/font/outlines.py Inter-SemiBold.otf >src/trends/chart/fonts/semibold.txt

The first line is the number of units that the font's size has. Then a line for each character: its number in hex, its
width, and its path in SVG's words (absolute M, L, C, Z; y goes up). 0 is what stands for any other character.
"""
import sys

from fontTools.pens.basePen import BasePen
from fontTools.ttLib import TTFont

RANGES = ((0x20, 0x7E), (0xA0, 0x17F), (0x386, 0x3CE), (0x400, 0x45F), (0x490, 0x491), (0x2010, 0x2015), (0x2018, 0x201E),
          (0x2022, 0x2022), (0x2026, 0x2026), (0x2030, 0x2030), (0x20AC, 0x20AC), (0x2190, 0x2193), (0x2212, 0x2212))


class Words(BasePen):
    def __init__(self, glyphs):
        super().__init__(glyphs)
        self.words = []

    def put(self, word, *points):
        self.words.append(word + " ".join(f"{round(x)} {round(y)}" for x, y in points))

    def _moveTo(self, point):
        self.put("M", point)

    def _lineTo(self, point):
        self.put("L", point)

    def _curveToOne(self, one, other, end):
        self.put("C", one, other, end)

    def _closePath(self):
        self.words.append("Z")


def main():
    font = TTFont(sys.argv[1])
    glyphs, names = font.getGlyphSet(), font.getBestCmap()
    print(font["head"].unitsPerEm)
    for code in [0] + [code for first, last in RANGES for code in range(first, last + 1)]:
        name = names.get(code) if code else ".notdef"
        if name is None:
            continue
        pen = Words(glyphs)
        glyphs[name].draw(pen)
        print(f"{code:x} {round(glyphs[name].width)} {''.join(pen.words)}".rstrip())


main()
