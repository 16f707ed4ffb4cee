#!/usr/bin/env python3
"""Writes digits_data.inc from digits.csv.gz of the PyPI package scikit-learn (sklearn/datasets/data/).

    python3 make_digits.py path/to/digits.csv.gz > digits_data.inc

Each line of the input is 64 pixels, 0 .. 16, and the class. Each line of the output is a string literal of 65
characters: a pixel of value v is the character 'a' + v, the class is its decimal digit.
"""
import gzip
import sys

with gzip.open(sys.argv[1], "rt") as file:
    rows = [[int(float(cell)) for cell in line.split(",")] for line in file]
assert len(rows) == 1797, len(rows)
for row in rows:
    assert len(row) == 65 and all(0 <= v <= 16 for v in row[:64]) and 0 <= row[64] <= 9, row
    print('"' + "".join(chr(ord("a") + v) for v in row[:64]) + str(row[64]) + '",')
