"""The credential opens what was sealed to it and nothing else; no changed file of it is taken."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from appliance.errors import AuditDamaged, UsageError, WrongSecret
from appliance.vault.access.keyfile import FLOOR, Kdf
from appliance.vault.audit.reviewer import Reviewer, ReviewerPublic, generate


def test_the_two_files_belong_together():
    private, public = generate()
    reviewer, known = Reviewer.load(private), ReviewerPublic.load(public)
    assert reviewer.public == known
    assert known.text() == public
    assert reviewer.open(known.seal(b"content", b"info"), b"info") == b"content"
    Ed25519PublicKey.from_public_bytes(known.verifier).verify(reviewer.sign(b"m"), b"m")
    assert len(known.fingerprint) == 32


def test_a_passphrase_is_needed_normalised_and_wiped():
    passphrase = bytearray("Zürich".encode())
    private, public = generate(passphrase, kdf=FLOOR)
    assert passphrase == bytes(len(passphrase))
    decomposed = bytearray("Zu\u0308rich".encode())
    assert Reviewer.load(private, decomposed).public.text() == public
    assert decomposed == bytes(len(decomposed))
    with pytest.raises(WrongSecret):
        Reviewer.load(private, bytearray(b"Zurich"))
    with pytest.raises(WrongSecret):
        Reviewer.load(private, bytearray(b"\xff"))
    with pytest.raises(UsageError):
        Reviewer.load(private)
    with pytest.raises(UsageError):
        Reviewer.load(generate()[0], bytearray(b"x"))


@pytest.mark.parametrize("passphrase", [b"", b"\xff"])
def test_what_is_no_passphrase_is_refused(passphrase):
    with pytest.raises(UsageError):
        generate(bytearray(passphrase), kdf=FLOOR)


def test_a_derivation_out_of_bounds_is_refused_before_it_is_run():
    with pytest.raises(UsageError):
        generate(bytearray(b"x"), kdf=Kdf(1024, 1, 1))


@pytest.mark.parametrize("which", [0, 1])
def test_no_flipped_bit_of_a_file_is_taken(which):
    data = generate()[which]
    load = (Reviewer.load, ReviewerPublic.load)[which]
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        with pytest.raises(AuditDamaged):
            load(bytes(changed))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\n",
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data[len(data) // 2 :],
        lambda data: data * 3,
    ],
)
def test_no_other_form_of_a_file_is_taken(change):
    for data, load in zip(generate(), (Reviewer.load, ReviewerPublic.load), strict=True):
        with pytest.raises(AuditDamaged):
            load(change(data))


def test_a_box_opens_with_its_key_and_its_info_only():
    private, public = generate()
    box = ReviewerPublic.load(public).seal(b"content", b"info")
    other = Reviewer.load(generate()[0])
    for reviewer, data, info in (
        (other, box, b"info"),
        (Reviewer.load(private), box, b"other"),
        (Reviewer.load(private), box[:-1], b"info"),
        (Reviewer.load(private), b"", b"info"),
        (Reviewer.load(private), bytes([box[0] ^ 1]) + box[1:], b"info"),
    ):
        with pytest.raises(AuditDamaged):
            reviewer.open(data, info)


def test_a_key_that_is_none_seals_nothing():
    with pytest.raises(AuditDamaged):
        ReviewerPublic(b"\xff" * 1248).seal(b"", b"")
    with pytest.raises(AuditDamaged):
        ReviewerPublic(b"short")
    with pytest.raises(AuditDamaged):
        ReviewerPublic(ReviewerPublic.load(generate()[1]).raw[:1184] + bytes(64)).seal(b"", b"")


def test_a_credential_never_shows_itself():
    private, _ = generate()
    reviewer = Reviewer.load(private)
    assert repr(reviewer) == f"<Reviewer {reviewer.public.fingerprint}>"
