#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Judges a history: what clients, the object store and the receivers of mail and webhooks saw.

    checker.py FOLDER                   prints the sums and each violation; status 1 if there is one
    checker = Checker(events)           the same from Python: .violations, .sums

It knows nothing of the queue: neither its keys nor its code nor its logs. What it holds against a
history:

lost        an accepted job that no client saw in a final state, or that answers 404 unerased
stuck       a job that a client gave up on, still waiting or running
twice       two different results of one job, two accepted jobs under one id, a second end
wrong       a result that is not the bytes that the picture gives, a success without its result
illegal     a transition that one observer must not see; a number that only grows went down
early       a child that ran while the same client still saw a parent unfinished
unfair      a failure that nothing in the job's plan explains
mail        none for a finished job that asked, one for a job that did not, two Message-IDs
hook        none where one was asked for, two ids for one event, one id for two events
orphan      an object at the end that no job names, an input of a job that is done
missing     the result of a successful job is not in the store at the end

A power cut under `everysec`, or the death of a master with replicas (`failover`), excuses what was
acknowledged inside its window: counted, and shown as `cut-lost` and `cut-undone`; a job that ended in it may end, and say so, once more. Under `always` nothing is excused.
"""
import collections
import sys

import history

FINAL = {"succeeded", "failed", "cancelled"}
# What the same observer may see later than a state; what lies between may go unseen.
AFTER = {state: {"queued", "running", "delayed", *FINAL} for state in ("queued", "running", "delayed")}
AFTER |= {state: {state} for state in FINAL}


class Job:
    def __init__(self, tag, plan):
        self.tag, self.plan = tag, plan
        self.id = None
        self.accepted_t = None
        self.ends = {}  # state → when first seen
        self.results = collections.Counter()
        self.observers = {}  # who → (t, state, attempts)
        self.begun, self.open = {}, {}  # who → when it was first seen running, last seen unfinished
        self.cancelled_t = None  # when a cancellation was granted
        self.cancel_refused = None
        self.erase_t = None  # when its owner first asked for that; perhaps nobody answered
        self.erased_t = None
        self.missing = []
        self.mails, self.hooks = collections.Counter(), collections.Counter()
        self.excused = False


class Checker:
    def __init__(self, events):
        self.tags, self.jobs = {}, {}
        self.violations = []
        self.sums = collections.Counter()
        self.cuts = [event for event in events if event["what"] == "power-cut"]
        self.objects = []
        self.inventory = False
        self.hook_ids = {}
        # What names the jobs comes first: a mail may overtake the answer to the submit.
        names = ("submit", "accepted")
        for event in [e for e in events if e["what"] in names] + [e for e in events if e["what"] not in names]:
            handler = getattr(self, "on_" + event["what"].replace("-", "_"), None)
            if handler is None:
                self.violate("illegal", f"unknown event {event['what']}")
            else:
                handler(event)
        for job in self.jobs.values():
            self.judge(job)
        self.judge_objects()
        if self.sums["accepted"] == 0:
            self.violate("stuck", "not one job was accepted: nothing was proved")

    def violate(self, kind, text):
        self.violations.append((kind, text))

    # ---- reading ----

    def on_submit(self, event):
        if event["tag"] in self.tags:
            self.violate("illegal", f"tag {event['tag']} twice: the history itself is broken")
        self.tags[event["tag"]] = Job(event["tag"], event)
        self.sums["submits"] += 1

    def on_accepted(self, event):
        job = self.tags.get(event["tag"])
        if job is None:
            self.violate("illegal", f"accepted {event['id']}, never submitted")
            return
        if job.id not in (None, event["id"]):
            self.violate("twice", f"{event['tag']} became {job.id} and {event['id']}")
            return
        other = self.jobs.setdefault(event["id"], job)
        if other is not job:
            self.violate("twice", f"{event['id']} was given to {other.tag} and {job.tag}")
            return
        if job.id is None:
            self.sums["accepted"] += 1
            job.accepted_t = event["t"]
        job.id = event["id"]

    def on_refused(self, event):
        self.sums["refused"] += 1

    def on_unknown(self, event):
        self.sums["unanswered"] += 1

    def known(self, event):
        job = self.jobs.get(event["id"])
        if job is None:
            self.violate("illegal", f"{event['what']} of {event['id']}, never accepted")
        return job

    def on_seen(self, event):
        job = self.known(event)
        if job is None:
            return
        self.sums["seen"] += 1
        state, attempts = event["state"], event.get("attempts", 0)
        before = job.observers.get(event["who"])
        if before and not self.undone(before[0], event["t"]):
            if state not in AFTER[before[1]]:
                kind = "twice" if state in FINAL else "illegal"
                self.violate(kind, f"{job.id}: {event['who']} saw {before[1]}, then {state}")
            if attempts < before[2]:
                self.violate("illegal", f"{job.id}: attempts went from {before[2]} to {attempts}")
        elif before and state not in AFTER[before[1]]:
            self.sums["cut-undone"] += 1
            job.excused = True
            job.ends.clear()
        if job.erased_t is not None and event["t"] > job.erased_t:
            self.violate("illegal", f"{job.id}: seen after it was erased")
        job.observers[event["who"]] = (event["t"], state, attempts)
        if state in ("running", "succeeded"):
            job.begun.setdefault(event["who"], event["t"])
        if state not in FINAL:
            job.open[event["who"]] = event["t"]
        else:
            job.ends.setdefault(state, (event["t"], event.get("code")))

    def windows_over(self, t):
        """The cuts that may undo what was acknowledged at t."""
        return [cut for cut in self.cuts if cut["policy"] != "always" and cut["t"] - cut["window_s"] <= t <= cut["t"]]

    def undone(self, before_t, after_t):
        """Whether a cut between the two may have undone what was seen at the first."""
        return any(cut["t"] <= after_t for cut in self.windows_over(before_t))

    def on_missing(self, event):
        job = self.known(event)
        if job is not None:
            job.missing.append(event["t"])

    def on_result(self, event):
        job = self.known(event)
        if job is not None:
            self.sums["results"] += 1
            job.results[event["sha256"]] += 1

    def on_cancel(self, event):
        job = self.known(event)
        if job is None:
            return
        if event["status"] == 200:
            self.sums["cancels"] += 1
            job.cancelled_t = event["t"]
            if event["state"] != "cancelled":
                self.violate("illegal", f"{job.id}: a cancellation answered 200 with {event['state']}")
        elif event["status"] == 409:
            job.cancel_refused = event["t"]

    def on_erased(self, event):
        job = self.known(event)
        if job is not None:
            self.sums["erased"] += 1
            job.erased_t = event["t"]

    def on_erase(self, event):
        job = self.known(event)
        if job is not None:
            job.erase_t = job.erase_t or event["t"]

    def on_mail(self, event):
        self.sums["mails"] += 1
        job = self.jobs.get(event["job"])
        if job is None:
            # Accepted, but the answer never reached the client: it may have its mail.
            self.sums["mails-unasked"] += 1
            return
        if event["to"] != job.plan.get("mail"):
            self.violate("mail", f"{job.id}: a mail that its owner did not ask for")
        job.mails[event["message_id"], event["ended"]] += 1
        job.excused |= self.in_window(event["t"])  # it ends once more, under another id

    def on_hook(self, event):
        self.sums["hooks"] += 1
        what = (event["job"], event["kind"])
        if self.hook_ids.setdefault(event["event"], what) != what:
            self.violate("hook", f"id {event['event']} stands for two events")
        job = self.jobs.get(event["job"])
        if job is None:
            self.sums["hooks-unasked"] += 1
            return
        job.hooks[event["event"], event["kind"]] += 1
        job.excused |= self.in_window(event["t"])

    def on_object(self, event):
        self.objects.append(event["key"])

    def on_inventory(self, event):
        self.inventory = True

    def on_power_cut(self, event):
        self.sums["power-cuts"] += 1

    def on_broken(self, event):
        self.sums["broken-requests"] += 1

    def on_gave_up(self, event):
        for job_id in event["ids"]:
            job = self.jobs.get(job_id)
            if job is not None and not job.ends and not job.missing:
                self.sums["stuck"] += 1
                self.violate("stuck", f"{job_id}: given up on")

    def erasure_undone(self, job_id):
        """Whether a cut may have brought back what its owner had erased."""
        job = self.jobs.get(job_id)
        return job is not None and job.erased_t is not None and self.in_window(job.erased_t)

    # ---- judging ----

    def in_window(self, t):
        return bool(self.windows_over(t))

    def judge(self, job):
        if job.missing and (job.erase_t is None or min(job.missing) < job.erase_t):
            if self.in_window(job.accepted_t):
                self.sums["cut-lost"] += 1
                return
            self.sums["lost"] += 1
            self.violate("lost", f"{job.id}: accepted, and then there was no such job")
            return
        if not job.ends:
            if job.erase_t is not None:
                return
            self.sums["lost"] += 1
            self.violate("lost", f"{job.id}: accepted, never seen in a final state")
            return
        if len(job.ends) > 1:
            self.violate("twice", f"{job.id}: ended as {' and as '.join(sorted(job.ends))}")
        end = min(job.ends, key=lambda state: job.ends[state])
        self.sums[end] += 1
        self.judge_end(job, end)
        self.judge_result(job, end)
        self.judge_notices(job, end)

    def judge_end(self, job, end):
        planned = job.plan.get("fate", "succeeded")  # or "failed:CODE"
        parents = [self.jobs[parent] for parent in job.plan.get("after", ()) if parent in self.jobs]
        if any(parent.ends and "succeeded" not in parent.ends for parent in parents):
            planned = "failed:parent_failed"
        for parent in parents:
            for who in job.begun.keys() & parent.open.keys():
                if parent.open[who] > job.begun[who]:
                    self.violate("early", f"{job.id}: ran before its parent {parent.id} had ended")
        if job.cancelled_t is not None and end != "cancelled" and not self.in_window(job.cancelled_t):
            self.violate("twice", f"{job.id}: a granted cancellation, and it {end}")
        if end == "cancelled" and job.cancelled_t is None and job.plan.get("cancels") is not True:
            self.violate("unfair", f"{job.id}: cancelled by nobody")
        if end == "failed":
            code = job.ends[end][1]
            if planned != f"failed:{code}":
                self.violate("unfair", f"{job.id}: failed with {code}, planned was {planned}")
        elif end == "succeeded" and planned.startswith("failed:"):
            self.violate("unfair", f"{job.id}: succeeded, planned was {planned}")

    def judge_result(self, job, end):
        if len(job.results) > 1:
            self.violate("twice", f"{job.id}: {len(job.results)} different results")
        for sha256 in job.results:
            if job.plan.get("expect") and sha256 != job.plan["expect"]:
                self.violate("wrong", f"{job.id}: not the picture that its input gives")
        if end == "succeeded" and not job.results and job.erase_t is None:
            self.violate("wrong", f"{job.id}: succeeded, and nobody could fetch the result")
        if end != "succeeded" and job.results:
            self.violate("twice", f"{job.id}: {end}, and yet a result was fetched")

    def judge_notices(self, job, end):
        wanted = end in ("succeeded", "failed") and job.erase_t is None
        if job.plan.get("mail") and not job.excused:
            if wanted and not job.mails:
                self.violate("mail", f"{job.id}: {end} without a mail")
            if len(job.mails) > 1:
                self.violate("mail", f"{job.id}: {len(job.mails)} Message-IDs or verdicts")
            for _, ended in job.mails:
                if ended != end:
                    self.violate("mail", f"{job.id}: {end}, the mail says {ended}")
            self.sums["mails-repeated"] += sum(job.mails.values()) - len(job.mails)
        if job.plan.get("hook") and not job.excused:
            kinds = collections.Counter(kind for _, kind in job.hooks)
            for kind, ids in kinds.items():
                if ids > 1:
                    self.violate("hook", f"{job.id}: {ids} ids for one {kind}")
            # A webhook hears of every end, a cancellation's too.
            if job.erase_t is None and f"job.{end}" not in kinds:
                self.violate("hook", f"{job.id}: {end} without a webhook")
            for kind in kinds:
                if kind != f"job.{end}":
                    self.violate("hook", f"{job.id}: {end}, a webhook says {kind}")
            self.sums["hooks-repeated"] += sum(job.hooks.values()) - len(job.hooks)

    def judge_objects(self):
        if not self.inventory:
            return
        results, strangers = collections.Counter(), set()
        for key in self.objects:
            kind, job_id = key.split("/")[:2]
            job = self.jobs.get(job_id)
            if job is None:
                strangers.add(job_id)
                if kind == "inputs":  # whoever it was of, it has ended, or never began
                    self.violate("orphan", f"{key}: of a job that nobody knows")
            elif kind == "results" and "succeeded" in job.ends and job.erased_t is None:
                results[job_id] += 1
            elif kind == "inputs" and "failed" in job.ends and job.erased_t is None:
                pass  # the dead letter keeps its input
            elif not any(t is not None and self.in_window(t) for t in (job.accepted_t, job.erased_t)):
                self.violate("orphan", f"{key}: of a job that {'/'.join(job.ends) or 'never ended'}")
        for job in self.jobs.values():
            if "succeeded" not in job.ends or job.erased_t is not None or job.missing:
                continue
            if results[job.id] != 1 and not self.in_window(job.accepted_t):
                kind = "missing" if results[job.id] == 0 else "orphan"
                self.violate(kind, f"{job.id}: {results[job.id]} results in the store")
        # A submit whose answer was lost may have made a job that nobody here can name.
        if len(strangers) > self.sums["unanswered"]:
            self.violate("orphan", f"{len(strangers)} jobs in the store that nobody submitted, for "
                                   f"{self.sums['unanswered']} submits without an answer")
        self.sums["strangers"] = len(strangers)


def main():
    checker = Checker(history.read(sys.argv[1]))
    print(" ".join(f"{name}={count}" for name, count in sorted(checker.sums.items())))
    for kind, text in checker.violations[:100]:
        print(f"{kind}: {text}")
    print(f"{len(checker.violations)} violations")
    return 1 if checker.violations else 0


if __name__ == "__main__":
    sys.exit(main())
