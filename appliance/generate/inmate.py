"""The process in which llama.cpp runs: it locks itself in before it reads a byte of a model.

Started by `cell.py` as a fresh interpreter: nothing of the key's process is in its memory. Its standard input
is its pipe; its first message brings the model as a sealed memory file. After that it can open no file, make
no socket and start no program; what a malicious model or prompt can do here is give bad text.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from appliance import probe, sandbox
from appliance.errors import ApplianceError, ModelMismatch, NoRoom
from appliance.generate import frames
from appliance.generate.llm import LlamaGenerator, llama
from appliance.types import Prompt

_PIPE = 0
_MOST_FIRST = 4096
_LOOK_SECONDS = 0.01
"""How often a stop is looked for: the library asks after each of some thousand operations a token."""


class Stop:
    """Set once the other side says anything, or has ended, while an answer is written."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._poll.register(_PIPE, select.POLLIN)
        self._next = 0.0
        self._set = False

    def is_set(self) -> bool:
        """Look at the pipe, at most every hundredth of a second."""
        now = time.monotonic()
        if not self._set and now >= self._next:
            self._next = now + _LOOK_SECONDS
            self._set = bool(self._poll.poll(0))
        return self._set


def main() -> None:
    """Lock this process in, load the model, and serve until the other side has gone."""
    sandbox.die_with_parent(int(sys.argv[1]))
    llama()  # its machine code is mapped now: afterwards none can be
    order, model = _first()
    sandbox.confine_cell(address_space=order["address_space"], accept_weaker=order["accept_weaker"])
    try:
        engine = _load(order, model) if model is not None else None
        _say(ready=True, context=engine.context if engine else 0)
        while True:
            _serve(engine, frames.receive(_PIPE, most=frames.MOST_ASKED))
    except frames.Gone:
        _leave(0)
    except ModelMismatch:
        _say(failed="model")
    _leave(1)


def _first() -> tuple[dict[str, Any], int | None]:
    """Take the first message, with the descriptor that it may bring; receiving one is forbidden later."""
    with socket.socket(fileno=os.dup(_PIPE)) as link:
        message, files, _, _ = socket.recv_fds(link, _MOST_FIRST, 1)
    if not message:
        _leave(0)
    return json.loads(message), files[0] if files else None


def _load(order: Mapping[str, Any], model: int) -> LlamaGenerator:
    try:
        return LlamaGenerator(
            Path(f"/proc/self/fd/{model}"),
            name=order["name"],
            template=order["template"],
            threads=order["threads"],
            context=order["context"],
            likelihood=order["likelihood"],
        )
    finally:
        os.close(model)  # the weights are in this process's memory now, and nowhere else


def _serve(engine: LlamaGenerator | None, asked: Mapping[str, Any]) -> None:
    if "probe" in asked:
        _say(probe=probe.report())
    elif engine is not None and "count" in asked:
        _say(count=engine.count(asked["count"]))
    elif engine is not None and "write" in asked:
        _write(engine, asked["write"])
    # What is left is a stop that came when the answer was already written.


def _write(engine: LlamaGenerator, asked: Mapping[str, Any]) -> None:
    choices = tuple((words, margin) for words, margin in asked["choices"])
    prompt = Prompt(asked["system"], asked["user"], shown=tuple(asked["shown"]), choices=choices)
    try:
        for piece in engine.stream(prompt, max_tokens=asked["most"], stop=Stop()):
            _say(piece=piece)
    except NoRoom:
        _say(failed="room")
    except ApplianceError:
        _say(failed="engine")
    else:
        _say(end=[engine.usage.prompt, engine.usage.output, engine.sure])


def _say(**message: object) -> None:
    frames.send(_PIPE, frames.encode(message, most=frames.MOST_ANSWERED))


def _leave(code: int) -> NoReturn:
    os._exit(code)  # without the interpreter's farewell, which may want files and calls that are closed now


if __name__ == "__main__":
    main()
