#!/usr/bin/env python3
"""Turns a terminal screen into an SVG: tmux capture-pane -pe | tools/screenshot.py COLUMNS >docs/demo.svg

Knows what the demo's view uses: colours (16 and 256), bold, italic, reverse. Needs Python alone.
"""
import html
import re
import sys
import unicodedata

CELL, LINE, SIZE, PAD = 8.4, 18, 14, 14
BACKGROUND, FOREGROUND = "#11151c", "#d7dce2"
BASE = ("#11151c #e05561 #8cc265 #d18f52 #4aa5f0 #c162de #42b3c2 #d7dce2 "
        "#6b7482 #ff616e #a5e075 #f0a45d #4dc4ff #de73ff #4cd1e0 #ffffff").split()


def palette(number):
    if number < 16:
        return BASE[number]
    if number >= 232:
        return "#" + f"{8 + 10 * (number - 232):02x}" * 3
    number -= 16
    steps = [0, 95, 135, 175, 215, 255]
    return "#" + "".join(f"{steps[number // 6 ** place % 6]:02x}" for place in (2, 1, 0))


def restyle(style, codes):
    codes = [int(code or 0) for code in codes.split(";")]
    while codes:
        code = codes.pop(0)
        if code == 0:
            style = {}
        elif code in (1, 3, 7):
            style = {**style, {1: "bold", 3: "italic", 7: "reverse"}[code]: True}
        elif code in (38, 48) and codes[:1] == [5]:
            style = {**style, "fg" if code == 38 else "bg": palette(codes[1])}
            codes = codes[2:]
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style = {**style, "fg": BASE[code - 30 if code < 40 else code - 82]}
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style = {**style, "bg": BASE[code - 40 if code < 50 else code - 92]}
        elif code in (39, 49):
            style = {key: value for key, value in style.items() if key != ("fg" if code == 39 else "bg")}
    return style


def cells(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def main():
    columns = int(sys.argv[1])
    rows = sys.stdin.read().rstrip("\n").split("\n")
    width, height = columns * CELL + 2 * PAD, len(rows) * LINE + 2 * PAD
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
          f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" '
          f'font-size="{SIZE}">\n<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>')
    style = {}
    for row, line in enumerate(rows):
        column, top = 0, PAD + row * LINE
        for part in re.split(r"(\x1b\[[0-9;]*m)", line):
            if part.startswith("\x1b["):
                style = restyle(style, part[2:-1])
                continue
            # Words stand where their cells are, whatever the width of the font's glyphs.
            for piece in re.findall(r"\s+|[█▏▎▍▌▋▊▉▁▂▃▄▅▆▇─]+|[^\s█▏▎▍▌▋▊▉▁▂▃▄▅▆▇─]+", part):
                draw(piece, PAD + column * CELL, top, style)
                column += cells(piece)
    print("</svg>")


def draw(piece, left, top, style):
    wide = cells(piece) * CELL
    ink, paper = style.get("fg", FOREGROUND), style.get("bg")
    if style.get("reverse"):
        ink, paper = paper or BACKGROUND, ink
    if paper:
        print(f'<rect x="{left:.1f}" y="{top}" width="{wide:.1f}" height="{LINE}" fill="{paper}"/>')
    if piece.isspace():
        return
    if piece[0] in "█▏▎▍▌▋▊▉▁▂▃▄▅▆▇─":
        for place, block in enumerate(piece):
            x = left + place * CELL
            if block == "─":
                print(f'<rect x="{x:.1f}" y="{top + LINE / 2}" width="{CELL}" height="1" fill="{ink}"/>')
            elif block in "▁▂▃▄▅▆▇":
                tall = ("▁▂▃▄▅▆▇".index(block) + 1) / 8 * (LINE - 4)
                print(f'<rect x="{x:.1f}" y="{top + LINE - 2 - tall:.1f}" width="{CELL - 1:.1f}" height="{tall:.1f}" fill="{ink}"/>')
        bar = sum(CELL if block == "█" else CELL * (7 - "▉▊▋▌▍▎▏".index(block)) / 8
                  for block in piece if block in "█▉▊▋▌▍▎▏")
        if bar and piece[0] not in "▁▂▃▄▅▆▇─":
            print(f'<rect x="{left:.1f}" y="{top + 3}" width="{bar:.1f}" height="{LINE - 6}" fill="{ink}"/>')
        return
    more = ' font-weight="bold"' if style.get("bold") else ""
    more += ' font-style="italic"' if style.get("italic") else ""
    print(f'<text x="{left:.1f}" y="{top + 13}" fill="{ink}" textLength="{wide:.1f}" '
          f'lengthAdjust="spacingAndGlyphs"{more}>{html.escape(piece)}</text>')


main()
