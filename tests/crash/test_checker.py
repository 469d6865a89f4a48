"""The checker has teeth: every kind of violation turns it red, and a clean log is green."""

import base64
import json

import pytest

from . import checker, record

RUN = "r1"


def logs(observed, events, confirmed, attempted=None, dead=(), facts=None):
    """A run whose observed sequence is written as places (key, seq) and numbers of fences."""
    bodies = [record.fence(place) if isinstance(place, int) else record.body(RUN, *place) for place in observed]
    return checker.Run(
        name=RUN,
        attempted=set(attempted or confirmed),
        confirmed=set(confirmed),
        observed=bodies,
        dead=list(dead),
        events=list(events),
        facts=facts or {},
    )


def kill(fence, duplicates_max=3, in_flight=True):
    return {"event": "kill", "fence": fence, "duplicates_max": duplicates_max, "in_flight": in_flight}


def places(first, last, key="k"):
    return [(key, seq) for seq in range(first, last + 1)]


def kinds(run):
    return set(checker.check(run).violations)


def test_a_clean_log_is_green():
    observed = [*places(1, 5), 1, *places(4, 9), 2, *places(10, 12)]
    assert kinds(logs(observed, [kill(1), kill(2)], places(1, 12))) == set()


def test_a_confirmed_record_that_never_arrived_is_lost():
    assert kinds(logs([*places(1, 4), 1, *places(6, 9)], [kill(1)], places(1, 9))) == {"lost"}


def test_an_unknown_record_may_be_absent_or_present():
    confirmed = [*places(1, 4), *places(6, 9)]
    for observed in (confirmed, places(1, 9)):
        assert kinds(logs(observed, [], confirmed, attempted=places(1, 9))) == set()


def test_what_the_nemesis_took_is_waived_up_to_its_number_and_no_further():
    taken = {"event": "queue deleted", "duplicates_max": 0, "waived_through": {"k": 5}, "waived_max": 2}
    assert kinds(logs([*places(1, 3), *places(6, 9)], [taken], places(1, 9))) == set()
    assert kinds(logs([*places(1, 3), *places(7, 9)], [taken], places(1, 9))) == {"lost"}
    assert kinds(logs([*places(1, 2), *places(6, 9)], [taken], places(1, 9))) == {"lost"}


def test_a_record_never_attempted_is_a_phantom():
    assert kinds(logs(places(1, 6), [], places(1, 5))) == {"phantom"}


def test_a_record_of_another_run_is_a_phantom():
    run = logs(places(1, 3), [], places(1, 3))
    run.observed.append(record.body("r2", "k", 2))
    assert kinds(run) == {"phantom"}


def test_a_body_that_claims_nothing_is_a_phantom():
    run = logs(places(1, 3), [], places(1, 3))
    run.observed.append(b"")
    assert kinds(run) == {"phantom"}


@pytest.mark.parametrize("seq", range(1, 40))
def test_any_changed_byte_is_corruption(seq):
    run = logs(places(1, 40), [], places(1, 40))
    body = bytearray(run.observed[seq - 1])
    body[-20 - seq] ^= 1
    run.observed[seq - 1] = bytes(body)
    assert kinds(run) == {"corrupted"}


def test_a_respelled_payload_is_corruption():
    changed = set()
    for seq in range(1, 40):
        body = record.body(RUN, "k", seq)
        run = logs(places(1, 40), [], places(1, 40))
        run.observed[seq - 1] = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
        changed |= kinds(run)
    assert changed == {"corrupted"}


def test_more_repeats_than_the_window_are_red():
    observed = [*places(1, 5), 1, *places(2, 9)]
    assert kinds(logs(observed, [kill(1, duplicates_max=4)], places(1, 9))) == set()
    assert kinds(logs(observed, [kill(1, duplicates_max=3)], places(1, 9))) == {"repeated"}


def test_repeats_are_charged_to_the_event_before_them():
    observed = [*places(1, 5), 1, *places(2, 9), 2, *places(10, 12)]
    assert kinds(logs(observed, [kill(1), kill(2)], places(1, 12))) == {"repeated"}


def test_repeats_are_charged_to_the_event_that_ended_the_life_of_the_copy_before():
    # The second life sent nothing of what the first left open, and left as much open itself.
    observed = [*places(1, 4), 1, *places(1, 4, key="l"), 2, *places(2, 9), *places(2, 9, key="l")]
    confirmed = [*places(1, 9), *places(1, 9, key="l")]
    assert kinds(logs(observed, [kill(1), kill(2)], confirmed)) == set()
    assert kinds(logs(observed, [kill(1), kill(2, duplicates_max=2)], confirmed)) == {"repeated"}
    assert kinds(logs(observed, [kill(1, duplicates_max=2), kill(2, duplicates_max=9)], confirmed)) == {"repeated"}


def test_a_repeat_before_any_event_is_red():
    observed = [*places(1, 3), *places(3, 5), 1, *places(6, 9)]
    assert "repeated" in kinds(logs(observed, [kill(1)], places(1, 9)))


def test_a_repeat_after_sigterm_is_red():
    observed = [*places(1, 5), 1, *places(5, 9)]
    term = {"event": "term", "fence": 1, "duplicates_max": 0}
    assert kinds(logs(observed, [term], places(1, 9))) == {"repeated", "order"}


def test_an_overtaking_record_is_out_of_order():
    observed = [*places(1, 3), ("k", 5), ("k", 4), *places(6, 9)]
    assert "order" in kinds(logs(observed, [kill(1)], places(1, 9)))


def test_two_keys_may_overtake_each_other():
    observed = [*places(1, 3, "a"), *places(1, 3, "b"), *places(4, 5, "a")]
    assert kinds(logs(observed, [], [*places(1, 5, "a"), *places(1, 3, "b")])) == set()


def test_a_repeat_walks_the_same_way_again():
    observed = [*places(1, 5), 1, ("k", 3), ("k", 5), *places(6, 9)]
    assert kinds(logs(observed, [kill(1)], places(1, 9))) == {"order"}


def test_a_broker_that_forgets_may_repeat_with_gaps_and_still_let_nothing_overtake():
    forgot = kill(1, duplicates_max=9) | {"repeats_skip": True}
    assert kinds(logs([*places(1, 5), 1, *places(2, 3), *places(6, 9)], [forgot], places(1, 9))) == set()
    assert kinds(logs([*places(1, 5), 1, *places(2, 3), *places(7, 9), ("k", 6)], [forgot], places(1, 9))) == {"order"}


def test_going_back_more_often_than_events_is_red():
    observed = [*places(1, 5), 1, ("k", 5), ("k", 5), *places(6, 9)]
    assert kinds(logs(observed, [kill(1)], places(1, 9))) == {"order"}


def test_a_dead_letter_is_red():
    run = logs(places(1, 3), [], places(1, 3), dead=[record.body(RUN, "k", 2)])
    assert kinds(run) == {"dead-lettered"}


def test_too_few_events_are_vacuous():
    assert kinds(logs(places(1, 3), [kill(1)], places(1, 3), facts={"events_planned": 2})) == {"vacuous"}


def test_kills_without_messages_in_flight_are_vacuous():
    events = [kill(number, in_flight=number > 2) for number in range(1, 11)]
    assert kinds(logs(places(1, 3), events, places(1, 3))) == {"vacuous"}


def test_a_run_that_never_repeated_is_vacuous_where_repeats_are_wanted():
    facts = {"repeats_wanted": True}
    assert kinds(logs([*places(1, 3), 1], [kill(1)], places(1, 3), facts=facts)) == {"vacuous"}
    assert kinds(logs([*places(1, 3), 1, ("k", 3)], [kill(1)], places(1, 3), facts=facts)) == set()


def test_too_few_records_are_vacuous():
    assert kinds(logs(places(1, 3), [], places(1, 3), facts={"confirmed_min": 4})) == {"vacuous"}


def test_the_campaigns_own_violations_count():
    facts = {"violations": [["liveness", "flow came back after 9 s"]]}
    assert kinds(logs(places(1, 3), [], places(1, 3), facts=facts)) == {"liveness"}


def test_the_logs_are_read_as_they_are_written(tmp_path):
    (tmp_path / "producer.log").write_text("a k 1\nc k 1\na k 2\nu k 2\n")
    lines = [base64.b64encode(body) for body in (record.body(RUN, "k", 1), record.fence(1), record.body(RUN, "k", 1))]
    (tmp_path / "observed.log").write_bytes(b"\n".join(lines) + b"\n")
    (tmp_path / "nemesis.log").write_text(json.dumps({"run": RUN, "events_planned": 1}) + "\n" + json.dumps(kill(1)) + "\n")
    verdict = checker.check(checker.load(tmp_path))
    assert verdict.clean
    assert verdict.figures["attempted"] == 2
    assert verdict.figures["repeated"].startswith("1 ")


def test_a_record_is_made_again_the_same():
    body = record.body(RUN, "k", 7)
    assert body == record.body(RUN, "k", 7)
    assert record.identify(body) == (RUN, "k", 7)
    json.loads(body)
