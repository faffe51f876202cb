"""What whoever watches a training is shown."""

from __future__ import annotations

from scripts import progress


def a_round(minutes: float, **more: float) -> dict[str, float]:
    return {"share": 0.1, "minutes": minutes, "tokens_per_s": 210.4, **more}


def test_a_line_says_how_far_it_is_and_how_the_loss_falls() -> None:
    judged = [a_round(at, dev_loss=loss, best_dev_loss=loss) for at, loss in ((4, 0.8), (8, 0.7), (12, 0.66))]
    said = progress.line([a_round(1), *judged, a_round(31.5)], 60)
    assert said == "31.5 of 60 min, 210 tokens/s, 28 min left, dev_loss \u2588\u2583\u2581 0.660, best 0.660"
    assert progress.line([a_round(61)], 60) == "61.0 of 60 min, 210 tokens/s, 0 min left"


def test_a_plot_has_a_block_a_value_and_keeps_to_a_line() -> None:
    assert progress.plot([1, 2, 3, 4, 5, 6, 7, 8]) == "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
    assert progress.plot([3, 3]) == "\u2581\u2581"
    assert len(progress.plot(range(1000))) == 24
