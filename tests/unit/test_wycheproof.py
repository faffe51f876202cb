"""The primitives against published vectors; Wycheproof's where a copy is named in WYCHEPROOF."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scripts import published_vectors, wycheproof


def test_the_published_vectors_agree() -> None:
    results = {each.name: each for each in published_vectors.run()}
    assert [each for each in results.values() if each.wrong] == []
    assert sum(each.agreed for each in results.values()) >= 2400
    assert all(each.agreed for each in results.values())


def test_wycheproof_agrees() -> None:
    folder = os.environ.get("WYCHEPROOF")
    if not folder:
        pytest.skip("needs a copy of C2SP/wycheproof; name its folder in WYCHEPROOF")
    results = list(wycheproof.run(Path(folder)))
    assert [each for each in results if each.wrong] == []
    assert sum(each.agreed for each in results) >= 1400


def one_vector(tmp_path: Path, test: dict[str, object], **group: object) -> Path:
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps({"testGroups": [{**group, "tests": [{"tcId": 7, **test}]}]}))
    return path


# RFC 4231, test case 2, and RFC 5869, test case 1: right, then wrong in the last digit, then called invalid.
HMAC = {"key": "4a656665", "msg": "7768617420646f2079612077616e7420666f72206e6f7468696e673f"}
TAG = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec384"
HKDF = {
    "ikm": "0b" * 22,
    "salt": "000102030405060708090a0b0c",
    "info": "f0f1f2f3f4f5f6f7f8f9",
    "size": 42,
}
KEY = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b8871858"


@pytest.mark.parametrize(
    ("judge", "test"),
    [
        (wycheproof.hmac_sha256, {**HMAC, "tag": TAG + "4", "result": "valid"}),
        (wycheproof.hmac_sha256, {**HMAC, "tag": TAG + "3", "result": "invalid"}),
        (wycheproof.hkdf, {**HKDF, "okm": KEY + "66", "result": "valid"}),
        (wycheproof.hkdf, {**HKDF, "okm": KEY + "65", "result": "invalid"}),
    ],
)
def test_a_disagreement_is_counted(tmp_path: Path, judge, test) -> None:
    tally = wycheproof.judge_file(one_vector(tmp_path, test, tagSize=256), judge)
    assert (tally.agreed, tally.wrong) == (0, (7,))
    assert wycheproof.report([tally]) == 1


def test_agreement_is_counted(tmp_path: Path) -> None:
    test = {**HMAC, "tag": TAG + "3", "result": "valid"}
    tally = wycheproof.judge_file(one_vector(tmp_path, test, tagSize=256), wycheproof.hmac_sha256)
    assert (tally.agreed, tally.wrong, tally.not_ours) == (1, (), 0)
    assert wycheproof.report([tally]) == 0
    shorter = wycheproof.judge_file(one_vector(tmp_path, test, tagSize=128), wycheproof.hmac_sha256)
    assert (shorter.agreed, shorter.not_ours) == (0, 1)
    assert wycheproof.report([shorter]) == 1, "nothing compared is no success"
