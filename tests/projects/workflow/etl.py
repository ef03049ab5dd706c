"""Keeps the rows that are numbers, and not below the lowest."""

import csv
import sys
from pathlib import Path

raw, lowest = sys.argv[1], float(sys.argv[2])
Path("clean").mkdir(exist_ok=True)
with open(raw) as source, open("clean/rows.csv", "w", newline="") as target:
    rows = csv.writer(target)
    for row in csv.DictReader(source):
        if row["y"].replace(".", "", 1).isdigit() and float(row["x"]) >= lowest:
            rows.writerow([float(row["x"]), float(row["y"])])
