#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Histories made by hand: a good one passes, and each way to be bad is found."""
import json
import pathlib
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "support"))
import history  # noqa: E402
from checker import Checker  # noqa: E402
from darkroom import main  # noqa: E402

RIGHT, OTHER = "a" * 64, "b" * 64


class Story:
    """Builds a history; every event is a second after the one before unless it says when."""

    def __init__(self):
        self.events, self.t = [], 0.0

    def add(self, what, who="c", t=None, **members):
        self.t = self.t + 1 if t is None else t
        self.events.append({"t": self.t, "who": who, "what": what, **members})
        return self

    def job(self, name="1", **plan):
        self.add("submit", tag="t" + name, expect=RIGHT, **plan)
        return self.add("accepted", tag="t" + name, id=name)

    def seen(self, *states, name="1", attempts=0, code=None, who="c"):
        for state in states:
            self.add("seen", who, id=name, state=state, attempts=attempts, code=code)
        return self

    def result(self, sha256=RIGHT, name="1"):
        return self.add("result", id=name, sha256=sha256, bytes=1)

    def done(self, name="1", **plan):
        return self.job(name, **plan).seen("queued", "running", "succeeded", name=name).result(name=name)

    def mail(self, name="1", message="m1", to="x@example.org", ended="succeeded"):
        return self.add("mail", "mail", job=name, to=to, message_id=message, ended=ended)

    def hook(self, name="1", event="e1", kind="job.succeeded"):
        return self.add("hook", "hooks", job=name, event=event, kind=kind)

    def objects(self, *keys):
        for key in keys:
            self.add("object", "harness", key=key)
        return self.add("inventory", "harness")

    def cut(self, policy, window_s=2.0):
        return self.add("power-cut", "harness", policy=policy, window_s=window_s)


class Verdicts(unittest.TestCase):
    def kinds(self, story):
        return sorted({kind for kind, _ in Checker(story.events).violations})

    def good(self, story, **sums):
        checker = Checker(story.events)
        self.assertEqual(checker.violations, [])
        for name, count in sums.items():
            self.assertEqual(checker.sums[name.replace("_", "-")], count, name)

    def bad(self, story, *kinds):
        self.assertEqual(self.kinds(story), sorted(kinds))

    # ---- good ones ----

    def test_a_job_that_ran_passes(self):
        self.good(Story().done(), accepted=1, succeeded=1)

    def test_everything_at_once_passes(self):
        story = (Story().done("1", mail="x@example.org", hook=True).mail().mail().hook().hook()
                 .job("2", cancels=True).seen("queued", name="2"))
        story.add("cancel", id="2", status=200, state="cancelled").seen("cancelled", name="2")
        story.job("3").seen("queued", "running", "queued", "running", "delayed", "running", name="3")
        story.seen("succeeded", name="3", attempts=1).result(name="3")
        story.job("4", fate="failed:corrupt").seen("failed", name="4", code="corrupt")
        story.done("5").add("erase", id="5").add("erased", id="5").add("missing", id="5", status=404)
        self.good(story.objects("results/1/1/result.png", "results/3/2/result.png"),
                  accepted=5, succeeded=3, cancelled=1, failed=1, mails_repeated=1, hooks_repeated=1)

    def test_refused_and_unanswered_submits_are_no_losses(self):
        story = Story().done().add("submit", tag="r", expect=RIGHT).add("refused", tag="r", status=503)
        story.add("submit", tag="u", expect=RIGHT).add("unknown", tag="u")
        self.good(story.objects("results/1/1/result.png", "results/unseen/1/result.png"), refused=1, strangers=1)

    def test_a_job_that_vanishes_after_its_owner_asked_for_that_is_not_lost(self):
        story = Story().done().add("erase", id="1").add("missing", id="1", status=404)
        self.good(story.objects())
        self.bad(Story().done().add("missing", id="1", status=404).add("erase", id="1"), "lost")

    def test_a_late_cancellation_is_refused_and_the_job_succeeds(self):
        self.good(Story().done(cancels=True).add("cancel", id="1", status=409, state=None))

    def test_the_same_job_for_a_repeated_submit_passes(self):
        self.good(Story().job().add("accepted", tag="t1", id="1").seen("succeeded").result(), accepted=1)

    # ---- lost and stuck ----

    def test_a_job_that_never_ends_is_lost(self):
        self.bad(Story().done().job("2").seen("queued", "running", name="2"), "lost")

    def test_a_job_that_is_not_there_any_more_is_lost(self):
        self.bad(Story().done("2").job().seen("queued").add("missing", id="1", status=404), "lost")

    def test_a_finished_job_that_vanishes_is_lost(self):
        self.bad(Story().done().add("missing", id="1", status=404), "lost")

    def test_a_job_that_its_client_gave_up_on_is_stuck(self):
        self.bad(Story().job().seen("queued").add("gave-up", ids=["1"]), "lost", "stuck")

    def test_a_run_without_a_job_proves_nothing(self):
        self.bad(Story(), "stuck")

    # ---- twice ----

    def test_two_results_are_found(self):
        self.bad(Story().done().result(OTHER), "twice", "wrong")

    def test_two_results_are_found_where_none_is_known_to_be_right(self):
        story = Story().add("submit", tag="t1", expect=None).add("accepted", tag="t1", id="1")
        self.bad(story.seen("succeeded").result().result(OTHER), "twice")

    def test_a_second_end_is_found_by_one_observer_and_by_two(self):
        self.bad(Story().done().seen("failed", code="x"), "twice")
        self.bad(Story().done().seen("cancelled", who="d"), "twice")

    def test_one_id_for_two_submits_is_found(self):
        story = Story().done().add("submit", tag="t2", expect=RIGHT).add("accepted", tag="t2", id="1")
        self.bad(story, "twice")

    def test_two_jobs_of_one_submit_are_found(self):
        self.bad(Story().done().add("accepted", tag="t1", id="2"), "twice")

    def test_a_success_after_a_granted_cancellation_is_found(self):
        self.bad(Story().job(cancels=True).add("cancel", id="1", status=200, state="cancelled")
                 .seen("succeeded").result(), "twice")

    def test_a_result_of_a_cancelled_job_is_found(self):
        self.bad(Story().job(cancels=True).add("cancel", id="1", status=200, state="cancelled")
                 .seen("cancelled").result(), "twice")

    # ---- wrong, illegal, unfair ----

    def test_wrong_bytes_are_found(self):
        self.bad(Story().job().seen("succeeded").result(OTHER), "wrong")

    def test_a_success_without_a_result_is_found(self):
        self.bad(Story().job().seen("succeeded"), "wrong")

    def test_a_state_that_leaves_final_is_found(self):
        self.bad(Story().done().seen("running"), "illegal")

    def test_attempts_that_shrink_are_found(self):
        story = Story().job().seen("running", attempts=2).seen("running", attempts=1)
        self.bad(story.seen("succeeded", attempts=1).result(), "illegal")

    def test_two_observers_may_see_different_moments(self):
        self.good(Story().job().seen("running", who="d").seen("queued", "succeeded").result())

    def test_a_failure_that_nobody_planned_is_found(self):
        self.bad(Story().job().seen("failed", code="crashed"), "unfair")

    def test_a_failure_with_another_code_than_planned_is_found(self):
        self.bad(Story().job(fate="failed:corrupt").seen("failed", code="crashed"), "unfair")

    def test_a_planned_failure_that_succeeds_is_found(self):
        self.bad(Story().done(fate="failed:crashed"), "unfair")

    def test_a_cancellation_by_nobody_is_found(self):
        self.bad(Story().job().seen("cancelled"), "unfair")

    def test_a_job_seen_after_it_was_erased_is_found(self):
        self.bad(Story().done().add("erase", id="1").add("erased", id="1").seen("succeeded"), "illegal")

    def test_what_was_never_accepted_is_found(self):
        self.bad(Story().done().seen("running", name="9"), "illegal")
        self.bad(Story().done().add("accepted", tag="t9", id="9"), "illegal")

    def test_an_event_that_the_checker_does_not_know_is_found(self):
        self.bad(Story().done().add("sean", id="1"), "illegal")

    # ---- parents and children ----

    def test_a_child_runs_after_its_parent(self):
        self.good(Story().done("1").done("2", after=["1"]))

    def test_a_child_that_runs_before_its_parent_ended_is_found(self):
        story = Story().job("1").seen("running").job("2", after=["1"]).seen("delayed", "running", name="2")
        self.bad(story.seen("running", "succeeded").result().seen("succeeded", name="2").result(name="2"), "early")

    def test_another_observer_may_see_the_parent_later(self):
        story = Story().job("1").seen("running").job("2", after=["1"]).seen("running", name="2", who="d")
        self.good(story.seen("running", "succeeded").result().seen("succeeded", name="2").result(name="2"))

    def failed_parent(self, *states, **how):
        story = Story().job("1", cancels=True).add("cancel", id="1", status=200, state="cancelled")
        return story.seen("cancelled").job("2", after=["1"]).seen(*states, name="2", **how)

    def test_a_failed_parent_fails_its_child(self):
        self.good(self.failed_parent("failed", code="parent_failed"))

    def test_a_child_that_succeeds_though_its_parent_did_not_is_found(self):
        self.bad(self.failed_parent("succeeded").result(name="2"), "unfair")

    def test_a_child_that_fails_for_its_parent_though_that_succeeded_is_found(self):
        self.bad(Story().done("1").job("2", after=["1"]).seen("failed", name="2", code="parent_failed"), "unfair")

    # ---- mail and webhooks ----

    def test_a_mail_that_did_not_come_is_found(self):
        self.bad(Story().done(mail="x@example.org"), "mail")

    def test_two_message_ids_are_found(self):
        self.bad(Story().done(mail="x@example.org").mail().mail(message="m2"), "mail")

    def test_a_mail_to_somebody_else_is_found(self):
        self.bad(Story().done(mail="x@example.org").mail().mail(to="y@example.org"), "mail")

    def test_a_mail_that_nobody_asked_for_is_found(self):
        self.bad(Story().done().mail(), "mail")

    def test_a_mail_that_says_another_end_is_found(self):
        self.bad(Story().done(mail="x@example.org").mail(ended="failed"), "mail")

    def test_a_webhook_that_did_not_come_is_found(self):
        self.bad(Story().done(hook=True), "hook")

    def test_two_ids_of_one_event_are_found(self):
        self.bad(Story().done(hook=True).hook().hook(event="e2"), "hook")

    def test_one_id_for_two_events_is_found(self):
        self.bad(Story().done("1", hook=True).done("2", hook=True).hook("1").hook("2"), "hook")

    def test_a_webhook_that_says_another_end_is_found(self):
        self.bad(Story().done(hook=True).hook().hook(event="e2", kind="job.failed"), "hook")

    # ---- the object store ----

    def test_a_result_that_is_not_there_at_the_end_is_found(self):
        self.bad(Story().done().objects(), "missing")

    def test_a_second_result_left_behind_is_found(self):
        self.bad(Story().done().objects("results/1/1/result.png", "results/1/2/result.png"), "orphan")

    def test_an_input_left_behind_is_found(self):
        self.bad(Story().done().objects("results/1/1/result.png", "inputs/1"), "orphan")

    def test_a_result_of_an_erased_job_is_found(self):
        self.bad(Story().done().add("erase", id="1").add("erased", id="1").objects("results/1/1/result.png"), "orphan")

    def test_an_input_of_an_unanswered_submit_is_found(self):
        story = Story().done().add("submit", tag="u", expect=RIGHT).add("unknown", tag="u")
        self.bad(story.objects("results/1/1/result.png", "inputs/2"), "orphan")

    def test_an_object_of_nobody_is_found(self):
        self.bad(Story().done().objects("results/1/1/result.png", "inputs/2"), "orphan")

    # ---- power cuts ----

    def test_a_loss_inside_the_window_of_everysec_is_counted_and_excused(self):
        story = Story().done().job("2").cut("everysec", 2.0).add("missing", id="2", status=404)
        self.good(story, cut_lost=1, power_cuts=1)

    def test_a_loss_before_the_window_is_no_excuse(self):
        story = Story().job().add("seen", id="1", state="queued", attempts=0, code=None)
        self.bad(story.cut("everysec", 0.5).add("missing", id="1", status=404), "lost")

    def test_a_loss_under_always_is_no_excuse(self):
        self.bad(Story().job().cut("always", 2.0).add("missing", id="1", status=404), "lost")

    def test_an_end_undone_inside_the_window_is_counted_and_the_job_ends_again(self):
        story = Story().done().cut("everysec", 2.5).seen("queued", "running", "succeeded").result()
        self.good(story, cut_undone=1)

    def test_an_end_undone_under_always_is_found(self):
        self.bad(Story().done().cut("always", 2.5).seen("queued", "succeeded").result(), "illegal")

    def test_an_end_undone_before_the_window_is_found(self):
        self.bad(Story().done().add("refused", tag="r").add("refused", tag="r")
                 .cut("everysec", 1.0).seen("queued", "succeeded").result(), "illegal")

    def test_a_second_mail_is_excused_where_the_first_came_inside_the_window(self):
        story = Story().done(mail="x@example.org").mail().cut("everysec", 1.5).mail(message="m2")
        self.good(story)
        story = Story().done(mail="x@example.org").mail().add("refused", tag="r")
        self.bad(story.cut("everysec", 0.5).mail(message="m2"), "mail")

    def test_an_erasure_undone_inside_the_window_may_leave_its_object(self):
        story = Story().done().add("erase", id="1").add("erased", id="1")
        self.good(story.cut("everysec", 1.5).objects("results/1/1/result.png"))

    # ---- the files ----

    def test_histories_are_merged_by_their_clock_and_a_line_cut_short_is_left_out(self):
        with tempfile.TemporaryDirectory(prefix="darkroom-history-") as folder:
            events = Story().done().events
            for number in (0, 1):
                path = pathlib.Path(folder) / f"{number}.jsonl"
                path.write_text("".join(json.dumps(event) + "\n" for event in events[number::2]))
            with open(pathlib.Path(folder) / "1.jsonl", "a", encoding="utf-8") as file:
                file.write('{"t": 3, "wh')
            self.assertEqual(history.read(folder), events)


if __name__ == "__main__":
    main()
