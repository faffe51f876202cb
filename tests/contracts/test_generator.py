"""One suite for every generator: what the assistant relies on."""

import threading
import time
from dataclasses import replace

import pytest

from appliance import models
from appliance.config import Config
from appliance.errors import ModelMissing
from appliance.generate.cell import CellGenerator
from appliance.generate.llm import Generator
from appliance.types import Prompt
from tests.engines import in_this_process
from tests.fakes import FakeGenerator

PROMPT = Prompt(
    system="You answer questions from numbered passages.",
    user="[1] The pump runs at 3,000 rpm and needs oil every 40 days.\n\nQuestion: how fast is the pump?",
    shown=(1,),
)


@pytest.fixture(scope="module", params=["fake", "llama", "cell"])
def generator(request, tmp_path_factory):
    if request.param == "fake":
        yield FakeGenerator()
        return
    config = Config(home=tmp_path_factory.mktemp("home"))
    try:
        found = models.find(config.generator, config.model_folders)
    except ModelMissing:
        pytest.skip("the default generator is not built (make models)")
    load = in_this_process if request.param == "llama" else CellGenerator.load
    engine = load(found, threads=config.cores)
    yield engine
    engine.close()


def write(generator: Generator, *, max_tokens: int = 12, stop: threading.Event | None = None) -> str:
    return "".join(generator.stream(PROMPT, max_tokens=max_tokens, stop=stop or threading.Event()))


def test_it_writes_text_and_accounts_for_it(generator):
    text = write(generator)
    assert text.strip()
    assert generator.usage.prompt >= generator.count(PROMPT.user)
    assert 0 < generator.usage.output <= 12


def test_the_same_prompt_gives_the_same_text(generator):
    assert write(generator) == write(generator)


CHOICES = (("40 days", 0.0), ("3,000 rpm", 0.1), ("The pump runs at 3,000 rpm and needs oil", 0.0))


def test_where_there_are_choices_it_takes_the_likeliest_and_cites_it(generator):
    asked = replace(PROMPT, user=f"{PROMPT.user}\nAnswer:", choices=CHOICES)
    said = "".join(generator.stream(asked, max_tokens=24, stop=threading.Event()))
    assert said == "3,000 rpm [1]"
    assert 0 < generator.usage.output <= 24
    favoured = ((CHOICES[0][0], 40.0), *CHOICES[1:])
    told = "".join(generator.stream(replace(asked, choices=favoured), max_tokens=24, stop=threading.Event()))
    assert told == "40 days [1]"


def test_what_it_takes_is_not_the_margins_alone(generator):
    if isinstance(generator, FakeGenerator):
        pytest.skip("it knows nothing else")
    asked = replace(PROMPT, user=f"{PROMPT.user}\nAnswer:", choices=(("40 days", 0.5), ("3,000 rpm", 0.0)))
    assert "".join(generator.stream(asked, max_tokens=24, stop=threading.Event())) == "3,000 rpm [1]"
    whole = replace(asked, choices=(("3,", 0.0), ("3,000 rpm", 0.0)))  # what is half of it is likelier so far
    assert "".join(generator.stream(whole, max_tokens=24, stop=threading.Event())) == "3,000 rpm [1]"


def test_it_says_how_sure_it_is_of_what_it_took(generator):
    if isinstance(generator, FakeGenerator):
        pytest.skip("it is as sure as it is told")

    def sure(*choices):
        list(generator.stream(replace(PROMPT, choices=choices), max_tokens=24, stop=threading.Event()))
        return generator.sure

    assert sure(("40 days", 90.0), *CHOICES[1:]) > 0.99
    assert sure(("3,000 rpm", 0.0), ("3,000 RPM", 0.0)) == pytest.approx(1)
    assert sure(("3,000 rpm", 9.0), ("pump " * 200, 0.0)) == 0  # one was not looked at
    write(generator)
    assert generator.sure == 0


def test_choosing_leaves_nothing_behind(generator):
    before = write(generator)
    for _ in range(2):
        list(generator.stream(replace(PROMPT, choices=CHOICES), max_tokens=24, stop=threading.Event()))
    assert write(generator) == before


def test_choices_without_words_harm_no_others(generator):
    asked = replace(PROMPT, choices=(("", 50.0), *CHOICES))
    if isinstance(generator, FakeGenerator):
        pytest.skip("it takes what it is given")
    assert "".join(generator.stream(asked, max_tokens=24, stop=threading.Event())) in {
        f"{words} [1]" for words, _ in CHOICES
    }


def test_choices_that_are_too_long_are_not_taken(generator):
    long = ("pump " * 200, 1000.0)
    asked = replace(PROMPT, choices=(long, *CHOICES))
    assert "".join(generator.stream(asked, max_tokens=24, stop=threading.Event())) != long[0] + " [1]"
    only = "".join(generator.stream(replace(PROMPT, choices=(long,)), max_tokens=24, stop=threading.Event()))
    assert only == ""


def test_it_writes_no_more_than_it_may(generator):
    write(generator, max_tokens=3)
    assert generator.usage.output == 3


def test_a_stop_set_before_the_start_costs_nothing(generator):
    stop = threading.Event()
    stop.set()
    assert write(generator, stop=stop) == ""
    assert generator.usage.output == 0


def test_a_stop_in_the_middle_ends_it_quietly_and_harms_no_later_stream(generator):
    whole = write(generator)
    stop = threading.Event()
    pieces = []
    for piece in generator.stream(PROMPT, max_tokens=12, stop=stop):
        pieces.append(piece)
        stop.set()
    assert len(pieces) == 1
    assert whole.startswith(pieces[0])
    assert write(generator) == whole


def test_a_stream_left_early_harms_no_later_one(generator):
    whole = write(generator)
    stream = generator.stream(PROMPT, max_tokens=12, stop=threading.Event())
    next(stream)
    stream.close()
    assert write(generator) == whole


def test_a_stop_during_a_long_prompt_is_honoured_within_a_second(generator):
    long = Prompt(PROMPT.system, "The pump needs oil. " * (generator.context // 8))
    stop = threading.Event()
    timer = threading.Timer(0.05, stop.set)
    timer.start()
    assert "".join(generator.stream(long, max_tokens=1, stop=stop)) or stop.wait(1)
    ended = time.monotonic()
    timer.join()
    assert time.monotonic() - ended < 1


def test_counting(generator):
    assert generator.count("") == 0
    assert generator.count("the pump") < generator.count("the pump needs oil every 40 days")
