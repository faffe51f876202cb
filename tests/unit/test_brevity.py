"""Which questions a word or two may answer."""

import pytest

from appliance.generate.brevity import asks_for_more


@pytest.mark.parametrize(
    "question",
    [
        "Why does the pump trip?",
        "how do I reset the alarm",
        "How is the filter changed?",
        "Is it allowed to weld near the tank?",
        "can't I run it dry?",
        "Please describe the start-up.",
        "list the alarms",
        "What are the exceptions?",
        "which were the causes of the leak?",
        "What steps can I take?",
        "What foot care services are covered?",
        "Which kinds of oil may be used?",
        "what should I do when error 8 is shown",
        "What happens if the seal fails?",
        "What does the warranty cover for hoses?",
        "what is the difference between E04 and E05",
        "What is the purpose of the relief valve?",
        "What is coinsurance and when does it apply?",
        "Who may open it and how?",
    ],
)
def test_a_reason_a_way_a_list_or_a_yes_wants_a_sentence(question):
    assert asks_for_more(question)


@pytest.mark.parametrize(
    "question",
    [
        "How many bolts hold the lid?",
        "how often are the bearings greased",
        "how much oil does it take?",
        "Who signs the permit?",
        "When was the plant built?",
        "where is the shut-off valve?",
        "which oil does the gearbox take?",
        "What is the torque of the lid's bolts?",
        "What was the plant's name until 1970?",
        "what class of fire is it for",
        "What are the small valves called?",
        "Is the thread left or right?",
        "can you tell me what the pressure is",
        "torque wheel nuts",
        "What basis is the price on?",
        "",
    ],
)
def test_one_thing_may_be_named_in_a_word(question):
    assert not asks_for_more(question)
