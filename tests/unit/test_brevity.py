"""Which questions a word or two may answer."""

import pytest

from appliance.brevity import (
    asks_for_a_way,
    asks_for_more,
    asks_for_several,
    counts_another,
    is_half,
    says_nothing,
)


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
        "Can I enter the pit when the fan is off?",
        "Must I wear gloves when handling acid?",
        "Is it allowed to weld or grind near the tank?",
        "Don\u2019t I need a permit?",
        "Hello, is it safe to open?",
        "For the pump, is grease allowed?",
        "Which precautions apply?",
        "What do I need to bring?",
        "the difference between E04 and E05",
        "What does it mean when the lamp blinks?",
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
        "CAN bus baud rate",
        "May 2024 inspection result",
        "List price of the HS-20",
        "How many steps does the ladder have?",
        "Who approves the procedure?",
        "What is the process temperature?",
        "which general purpose grease is used",
        "What should the oil pressure be?",
        "What does the valve cover weigh?",
        "Which lens is fitted?",
        "What series is the motor?",
        "Could you tell me the oil capacity?",
        "how tight are the bolts",
        "",
    ],
)
def test_one_thing_may_be_named_in_a_word(question):
    assert not asks_for_more(question)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Change it every 5,000 miles or 6 months.", "6 months"),
        ("Change it every 5,000 miles or 6 months.", "5,000 miles"),
        ("Keep at least 10 metres away.", "10 metres"),
        ("Children stay at least ten metres away.", "ten metres"),
        ("Between 5 and 40 degrees.", "40 degrees"),
        ("Never more than 16 bar.", "16 bar"),
        ("It opens at approximately the 6 bar mark.", "6 bar"),
        ("From 5 to 40 degrees.", "5"),
        ("From 5 to 40 degrees.", "40 degrees"),
        ("Lasts 5-7 years.", "5"),
        ("It weighs 40 kg at most.", "40 kg"),
        ("Gap: < 0.5 mm", "0.5 mm"),
        ("Do not use petrol.", "petrol"),
        ("Don't use mineral oil.", "mineral oil"),
        ("Grease is not allowed here.", "Grease"),
        ("Every 5,000 miles (8,000 km) or 6 months.", "5,000 miles"),
        ("Every 5,000 miles\nor 6 months.", "5,000 miles"),
        ("Every 5,000 miles, 6 months or 200 hours.", "5,000 miles"),
        ("Every 6 months, whichever comes first.", "6 months"),
        ("Set it to max. 5 bar.", "5 bar"),
        ("It is not to exceed 25 Nm.", "25 Nm"),
        ("If the tank exceeds 10L, drain it.", "10L"),
        ("Set it to min. 5 bar.", "5 bar"),
        ("Set it to 5 bar min.", "5 bar"),
        ("At 5 bar and above.", "5 bar"),
        ("From 5...10 bar.", "10 bar"),
        ("It holds bandages, scissors and a blanket.", "bandages"),
        ("Lasts 5-7 days.", "7 days"),
        ("Within up to and including 30 days.", "30 days"),
        ("It has a maximum pressure of 16 bar.", "16 bar"),
        ("Pressure: 16 bar (max.)", "16 bar"),
        ("16 bar is the maximum.", "16 bar"),
        ("Open until 5 p.m.", "5 p.m."),
        ("Paint it red, or blue.", "red"),
        ("Use oil, except in winter.", "oil"),
        ("Only the mayor's deputy may open it.", "the mayor"),
        ("It lasts 5 years / 60,000 miles.", "5 years"),
        ("At 80 km/h.", "80 km"),
        ("See https://reference.medscape.com/drug/344444.", "344444"),
        ("Write to chief@station.org.", "station.org"),
    ],
)
def test_half_of_what_is_said_is_known(text, words):
    start = text.index(words)
    assert is_half(text, (start, start + len(words)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It was opened in 1900 and closed in 1950.", "1900"),
        ("Tighten to 85 Nm.", "85 Nm"),
        ("The seal is part MS-4421.", "MS-4421"),
        ("Oil or grease: use ISO VG 32 here.", "ISO VG 32"),
        ("Ask the shift leader for orders.", "the shift leader"),
        ("John Smith built it.", "John Smith"),
        ("It is fed from P-101.", "P-101"),
        ("It lies below Tank 7.", "Tank 7"),
        ("Wait 15 minutes.", "15"),
        ("Wait 15 min.", "15"),
        ("- Tighten to 85 Nm\n\n- 12 bolts hold it.", "85 Nm"),
    ],
)
def test_the_whole_of_what_is_said_is_no_half(text, words):
    start = text.index(words)
    assert not is_half(text, (start, start + len(words)))


def test_a_question_without_end_is_not_read_to_its_end():
    assert asks_for_more("what did x " * 100_000) is False


@pytest.mark.parametrize(
    ("question", "several"),
    [
        ("How do I start it?", True),
        ("What are the steps?", True),
        ("What should I do when it leaks?", True),
        ("what to do when it leaks", True),
        ("Which tools do I need?", True),
        ("Why does it leak?", False),
        ("Is it allowed?", False),
        ("What is the purpose of the valve?", False),
        ("How much oil does it take?", False),
        ("Name the steps to start the pump", True),
        ("give me the reasons for the recall", True),
        ("name all alarms", True),
        ("list alarm codes", True),
        ("What is in the first-aid kit?", True),
        ("what causes alarm E04", True),
        ("What items come with it?", True),
        ("which symptoms mean the pump is dry", True),
        ("Which wires power the lamp?", True),
        ("Which of the models don't flash?", True),
        ("what to check before a start", True),
        ("what to do if there is nowhere to go to", True),
        ("Which filters the pump?", False),
        ("Which pumps is it for?", False),
        ("Which runs hotter, P-101 or P-102?", False),
        ("Which of the pumps runs hotter?", False),
        ("which status lamp blinks", False),
        ("which address means the pump", False),
        ("which class applies", False),
        ("what to set the pressure to", False),
    ],
)
def test_a_list_may_answer_a_question_for_several_things(question, several):
    assert asks_for_several(question) is several


@pytest.mark.parametrize(
    ("question", "way"),
    [
        ("How do I start it?", True),
        ("how to start the pump", True),
        ("how is the cylinder bled", True),
        ("How does an operator load a table?", True),
        ("what should i do if a snake bites someone", True),
        ("what to do when it leaks", True),
        ("what do I have to do before I call", True),
        ("What are the steps of the test?", True),
        ("steps to build a still", True),
        ("shutting down the site steps", True),
        ("pump restart procedure?", True),
        ("who signs the shutdown procedure", False),
        ("what is the number of the procedure", False),
        ("Which steps come first?", True),
        ("what is the procedure for a restart", True),
        ("What is the difference between an overflow and an overrun?", True),
        ("explain the restart", True),
        ("What is the protocol for a mutex?", True),
        ("When it leaks, how do I stop it?", True),
        ("please tell me how to stop it", True),
        ("What is the transport protocol?", False),
        ("What is the default protocol of the radio?", False),
        ("What can it do?", False),
        ("Who discovered how to make penicillin?", False),
        ("How likely is rain?", False),
        ("How is P-101 abbreviated?", False),
        ("How exactly did he die?", False),
        ("How much oil does it take?", False),
        ("how long is it", False),
        ("How did he die?", False),
        ("How was it found?", False),
        ("What are the colours?", False),
        ("What does the code mean?", False),
        ("Why does it leak?", False),
    ],
)
def test_a_way_is_asked_for_by_how_and_by_steps(question, way):
    assert asks_for_a_way(question) is way
    assert asks_for_more(question) or not way


@pytest.mark.parametrize(
    ("question", "words", "another"),
    [
        ("bleach drops per canteen of water", "5.25 percent", True),
        ("how many drops of bleach per canteen", "2", False),
        ("how many drops of bleach per canteen", "2 drops", False),
        ("which drop is it", "5.25 percent", True),
        ("how strong is the bleach", "5.25 percent", False),
        ("how many drops of bleach per canteen", "bleach", False),
        ("since when are drops of bleach taken", "5.25", False),
    ],
)
def test_a_figure_is_no_answer_where_another_counts_what_is_asked_for(question, words, another):
    text = "Take 2 drops of 5.25 percent bleach a canteen."
    start = text.index(words)
    assert counts_another(question, text, (start, start + len(words))) is another


@pytest.mark.parametrize(
    ("question", "text", "words", "nothing"),
    [
        ("Which oil does it need?", "Fill in the oil at the top.", "oil", True),
        ("Which oil does it need?", "Fill in the oil at the top.", "the oil", True),
        ("Which oil does it need?", "Fill in SAE 30 oil at the top.", "SAE 30 oil", False),
        ("Is it oil or grease?", "It takes grease.", "grease", False),
        ("oil/grease?", "It takes grease.", "grease", False),
        ("What is the friction of the thread?", "It depends on \u03bc of the thread.", "\u03bc", True),
        ("Which class is it?", "It is of class B.", "B", False),
        ("Who stands in for the chief returning officer?", "The CRO is elected.", "CRO", True),
        ("Who stands in for the chief returning officer?", "The DRO does.", "DRO", False),
        (
            "How long is the delay?",
            "It is three times the period. E.g. with 3 it is 9 minutes.",
            "9 minutes",
            True,
        ),
        ("How long is the delay?", "For example, it is 9 minutes.", "9 minutes", True),
        ("How high is the pressure?", "Pumps (e.g. P-101) deliver 5 bar.", "5 bar", False),
        ("How high is the pressure?", "For example:\n5 bar", "5 bar", False),
        ("Which is larger, P-101 and P-102?", "P-101 is larger.", "P-101", False),
        ("How long is the delay?", "For example, with 3. It is 9 minutes.", "9 minutes", False),
    ],
)
def test_the_questions_own_words_signs_and_examples_say_nothing(question, text, words, nothing):
    start = text.index(words)
    assert says_nothing(question, text, (start, start + len(words))) is nothing


@pytest.mark.parametrize(
    "question",
    [
        "What is the part which regulates airflow?",
        "what is the valve which controls pressure called?",
        "Which requires calibration?",
        "Which affects performance more?",
        "Which Windows version is needed?",
        "Which sales tax applies?",
        "What to call the menu?",
        "Which settings file is read?",
    ],
)
def test_what_only_looks_like_a_plural_asks_for_one_thing(question):
    assert not asks_for_several(question)
