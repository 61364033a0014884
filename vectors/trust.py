#!/usr/bin/env python3
"""The ranks of docs/spec/trust.md by a program of their own, which uses no WATT code: writes or checks trust.json.

    python3 vectors/trust.py                 compares trust.json with what comes out here
    python3 vectors/trust.py --write         writes it: a change of the rules
    python3 vectors/trust.py --data FOLDER   also works out the public graphs in FOLDER, as far as they are there
"""

import argparse
import hashlib
import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).resolve().parent
MASS = 2**56
ROUNDS = 50

# Public trust graphs that are not part of this repository: whoever has the files can work these roots out.
DATA_SETS = [
    {
        "name": "Bitcoin-OTC web of trust (SNAP)",
        "file": "soc-sign-bitcoinotc.csv",
        "sha256": "93924669f45afaa2ec18903ded272f3d5f0537d09c0b47f955060cd8aab1a3d1",
        "n_people": 5881,
        "n_edges": 32029,
        "root": "8acd346128ef4228209cbc51695849f7309fb024b3811be1760f893f036c8c9a",
    },
    {
        "name": "Bitcoin-Alpha web of trust (SNAP)",
        "file": "soc-sign-bitcoinalpha.csv",
        "sha256": "7af11340d137e7320d180ac49debc9ff4cd182d12c540632ac838bd57c1d91ac",
        "n_people": 3783,
        "n_edges": 22650,
        "root": "1b24a3672f988b092bbcc619aaf235e4c603daef5bb93ace10b728ced20da8b4",
    },
    {
        "name": "Advogato certifications (KONECT)",
        "file": "out.advogato",
        "sha256": "f0c50a5b840caad43f49261fb6336f7bbca214ed6a1a691897ba4154a7473934",
        "n_people": 5155,
        "n_edges": 47135,
        "root": "7349897bf8930da0c7e51a674f0d307f2c66fbd7c62a36fecfcb9c4a69735dd8",
    },
    {
        "name": "Wikipedia adminship votes (SNAP)",
        "file": "wiki-Vote.txt",
        "sha256": "b05c0226f5544f0e4a8ac607ae573db42e42716b6dd5aa00e8c769a1219c796f",
        "n_people": 7115,
        "n_edges": 103689,
        "root": "ff06b8f22d2013062f4f3ddf5c021fa4bb115a95d249305ead0c8ab59af65499",
    },
]


def receive(mass, seeds, amount):
    """Seed number k gets the k-th of the parts of `amount`, which differ by at most one."""
    for k, seed in enumerate(seeds):
        mass[seed] += (amount + len(seeds) - 1 - k) // len(seeds)


def page_rank(n, edges, seeds):
    """Mass is pushed along the edges, one after another; the order does not matter."""
    given = [0] * n
    for (person, _), level in edges.items():
        given[person] += level
    mass = [0] * n
    receive(mass, seeds, MASS)
    for _ in range(ROUNDS):
        arrived = [0] * n
        for (person, to), level in edges.items():
            arrived[to] += mass[person] * 217 // 256 // given[person] * level
        receive(arrived, seeds, MASS - sum(arrived))
        mass = arrived
        assert sum(mass) == MASS
    return mass


def sybil_scores(n, edges, seeds):
    friends = [[to for to in range(n) if (person, to) in edges and (to, person) in edges] for person in range(n)]
    mass = [0] * n
    receive(mass, seeds, MASS)
    rounds = 1
    while 2**rounds < n:
        rounds += 1
    for _ in range(rounds):
        after = [0] * n
        for person, near in enumerate(friends):
            for friend in near:
                after[friend] += mass[person] // len(near)
            after[person] += mass[person] % len(near) if near else mass[person]
        mass = after
        assert sum(mass) == MASS
    return [held * 2**20 // len(near) if near else 0 for held, near in zip(mass, friends)]


def root(ranks):
    return hashlib.sha256(b"".join(rank.to_bytes(8, "big") for rank in ranks)).hexdigest()


def small_graphs():
    drawn = random.Random("watt trust vectors")

    def some(n, per_person):
        """Everyone trusts up to `per_person` others; the earlier somebody is, the more often they are trusted."""
        edges = {}
        for person in range(n):
            for _ in range(drawn.randrange(per_person + 1)):
                to = min(drawn.randrange(n), drawn.randrange(n))
                if to != person:
                    edges[person, to] = drawn.randrange(1, 4)
                    if drawn.randrange(2):
                        edges[to, person] = drawn.randrange(1, 4)
        return edges

    ring = {(k, (k + 1) % 7): 1 for k in range(7)}
    star = {(0, k): 3 for k in range(1, 6)} | {(k, 0): 1 for k in range(1, 6)}
    yield "one person", 1, {}, [0]
    yield "nobody trusts anybody, three seeds", 5, {}, [0, 2, 4]
    yield "two who trust each other, one seed", 2, {(0, 1): 2, (1, 0): 2}, [1]
    yield "a chain that ends", 4, {(0, 1): 1, (1, 2): 2, (2, 3): 3}, [0]
    yield "a ring of seven, one seed", 7, ring, [3]
    yield "a star", 6, star, [0]
    yield "levels share by weight", 4, {(0, 1): 1, (0, 2): 2, (0, 3): 3}, [0]
    yield "an island without seeds", 6, {(0, 1): 1, (1, 0): 1, (3, 4): 3, (4, 5): 3, (5, 3): 3}, [0, 2]
    yield "sixty people, all seeds", 60, some(60, 5), list(range(60))
    yield "sixty people, four seeds", 60, some(60, 5), [1, 8, 30, 59]
    yield "two hundred people, eleven seeds", 200, some(200, 5), list(range(0, 110, 10))


def vectors():
    graphs = []
    for name, n, edges, seeds in small_graphs():
        ranks, scores = page_rank(n, edges, seeds), sybil_scores(n, edges, seeds)
        graphs.append(
            {
                "name": name,
                "n_people": n,
                "edges": [[person, to, level] for (person, to), level in sorted(edges.items())],
                "seeds": seeds,
                "ranks": [str(rank) for rank in ranks],
                "scores": [str(score) for score in scores],
                "root": root(ranks),
            }
        )
    return {"graphs": graphs, "data_sets": DATA_SETS}


def read(path):
    """`from to [rating]` a line, in any of the sets' formats; the last rating of a pair counts, the good ones become edges."""
    ratings = {}
    for line in path.read_text().splitlines():
        words = line.replace(",", " ").split()
        if len(words) >= 2 and words[0].isdigit() and words[0] != words[1]:
            ratings[int(words[0]), int(words[1])] = float((words + ["1"])[2])
    numbers = {person: k for k, person in enumerate(sorted({person for pair in ratings for person in pair}))}
    edges = {(numbers[a], numbers[b]): 1 for (a, b), rating in ratings.items() if rating > 0}
    return len(numbers), edges


def check_data(folder):
    for data in DATA_SETS:
        path = folder / data["file"]
        if not path.exists():
            print(f"{data['file']}: not there")
            continue
        if hashlib.sha256(path.read_bytes()).hexdigest() != data["sha256"]:
            sys.exit(f"{data['file']}: another file than the one that was used")
        n, edges = read(path)
        found = root(page_rank(n, edges, list(range(n))))
        if (n, len(edges), found) != (data["n_people"], data["n_edges"], data["root"]):
            sys.exit(f"{data['file']}: {n} people, {len(edges)} edges, root {found}")
        print(f"{data['file']}: {found}")


def lines(value):
    """JSON with one line per field, so that a change shows where it is."""
    graphs = ",\n".join(
        "    {\n" + ",\n".join(f"      {json.dumps(key)}: {json.dumps(field)}" for key, field in entry.items()) + "\n    }"
        for entry in value["graphs"]
    )
    sets = json.dumps(value["data_sets"], indent=2).replace("\n", "\n  ")
    return f'{{\n  "graphs": [\n{graphs}\n  ],\n  "data_sets": {sets}\n}}\n'


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--data", type=pathlib.Path)
    arguments = arguments.parse_args()
    text, path = lines(vectors()), HERE / "trust.json"
    if arguments.write:
        path.write_text(text)
    elif path.read_text() != text:
        sys.exit("trust.json differs from what comes out here")
    print(f"trust.json: {len(vectors()['graphs'])} graphs")
    if arguments.data:
        check_data(arguments.data)


main()
