"""Attack: a fuzzer that learns from coverage, against all that reads what a client sent.

Bounded runs; longer ones by hand, see `tests/fuzz/targets.py`. A crash, a wrong answer, a slow
input or memory that grows ends a run with a nonzero status and the input that did it.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.naughty import NAUGHTY

CHECKOUT = Path(__file__).resolve().parents[2]
FUZZER = Path(sys.prefix) / "fuzz" / "bin" / "python"
RUNS = int(os.environ.get("SECUREML_FUZZ_RUNS", "30000"))
ROW = [1.5, -0.5, 3, True, "x", "note"]
KINDS = ("FP64", "FP32", "INT32", "BOOL", "BYTES", "BYTES")


def tensors(*, binary: bool) -> bytes:
    """Return the row as a tensor for each column, as a request has them."""
    parts = (
        struct.pack("<d", 1.5), struct.pack("<f", -0.5), struct.pack("<i", 3), b"\1",
        b"\1\0\0\0x", b"\4\0\0\0note",
    )  # fmt: skip
    inputs = [
        {
            "name": name, "shape": [1], "datatype": kind,
            **({"parameters": {"binary_data_size": len(part)}} if binary else {"data": [cell]}),
        }
        for name, kind, part, cell in zip(
            ("a", "b", "n", "flag", "kind", "note"), KINDS, parts, ROW, strict=True
        )
    ]  # fmt: skip
    line = json.dumps({"inputs": inputs, "id": "7", "outputs": [{"name": "predictions"}]})
    return line.encode() + b"\n" + (b"".join(parts) if binary else b"")


SEEDS: dict[str, list[bytes]] = {
    "payload": [
        json.dumps({"instances": [ROW, dict(zip("abnfkt", ROW, strict=True))]}).encode(),
        b'{"a":[1,-2.5e-3,1e308,true,null,"\\ud83d\\ude00\\n"]}',
        b'{"a":1,"a":2}', b"[NaN,Infinity,1e999]", b"[[[[[[[[[]]]]]]]]]", b'"\\ud800"',
        *(json.dumps(word).encode() for word in NAUGHTY if len(word) < 100),
    ],
    "coding": [
        b"gzip\n" + gzip.compress(b'{"instances": []}', mtime=0),
        b"x-gzip\n" + gzip.compress(b" " * 50_000, mtime=0),
        b"gzip, gzip\n" + gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0),
        b"gzip\n" + gzip.compress(b"a", mtime=0) * 2, b"identity\n{}", b"br\n{}",
    ],
    "rows": [bytes(range(256)), bytes(512), b"\xff" * 512, bytes(range(255, -1, -1)) * 3],
    "tensors": [
        tensors(binary=True), tensors(binary=False), tensors(binary=True)[:-1],
        b'{"inputs":[{"name":"x","shape":[1000000000,6],"datatype":"FP64","data":[[1]]}]}',
    ],
    "rule": [
        b"a + 2 * b <= n * n", b"a == b within 5%", b"length(`note`) <= 3 or kind missing",
        b'if kind in ["x", -1.5, true] and a present then b not in [1]', b"`a b` in range",
    ],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("target", SEEDS)
def test_attack_no_input_that_a_fuzzer_finds_breaks_it(target, tmp_path):
    """Nor does memory grow: the target holds what is allocated to what it was early on."""
    if not FUZZER.exists():
        missing = "the fuzzer is missing; run script/test, or see tests/requirements-fuzz.txt"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[target]):
        (corpus / str(number)).write_bytes(seed)
    bounds = [f"-runs={RUNS}", "-max_len=4096", "-rss_limit_mb=1024", "-timeout=10", "-seed=7"]
    done = subprocess.run(
        # A shell between: Linux counts the memory of who starts a program as the program's own
        # (ru_maxrss), and a process that has run the whole suite has more than the limit.
        [
            "sh",
            "-c",
            '"$@"; exit $?',
            "sh",
            FUZZER,
            CHECKOUT / "tests/fuzz/targets.py",
            target,
            *bounds,
            corpus,
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}:{sysconfig.get_path('purelib')}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    finished = re.search(r"Done (\d+) runs", done.stderr)
    assert finished, done.stderr[-3000:]
    assert int(finished[1]) >= RUNS
