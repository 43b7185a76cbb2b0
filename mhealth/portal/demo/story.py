"""What happens in a study, step by step. Every line that names a request was printed because it was made just now."""

import io
import uuid
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlparse

from rich.console import Console
from rich.table import Table

from mhealth.portal.demo.phone import Answer, Phone

API = "/api/v1"
WORKING = {"receiving", "queued", "running"}
BASELINE = [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 1, 0, 1, 1, 1, 0, 1, 1]  # low mood of a moderate degree; item 21 = 1


@dataclass(frozen=True)
class Cast:
    """Who plays: a one-time code for a new participant, and the staff's accounts."""

    enrolment_code: str
    manager: tuple[str, str]
    researcher: tuple[str, str]
    trial: str


class Story:
    def __init__(self, base: str, cast: Cast, face: Path, voice: Path, console: Console) -> None:
        self.base, self.cast, self.face, self.voice, self.console = base, cast, face, voice, console
        self.phone = self._client()
        self.participant = ""

    def tell(self) -> None:
        self.join()
        self.consent()
        before = self.check_in("A check-in: one photo, one recording")
        self.correct(before)
        self.corrections_teach(before)
        self.take_part_in_the_trial()
        self.answer_dass21()
        self.be_allocated()
        self.be_offered_an_activity()
        self.export()

    def join(self) -> None:
        self.chapter("Somebody joins with a one-time code")
        profile = {"language": "en", "zone": "Europe/London", "country": "GB", "birth_year": 1991, "sex": "female"}
        code = {"enrolment_code": self.cast.enrolment_code, "profile": profile, "device_name": "demo phone"}
        session = self.phone.send("POST", f"{API}/session/", code).json
        self.phone.token, self.participant = session["token"], session["participant_id"]

    def consent(self) -> None:
        self.chapter("They read what they agree to, and agree scope by scope")
        document = self.phone.get(f"{API}/me/consents/").json["document"]
        words = {
            "given": True,
            "document_version": document["version"],
            "language": document["language"],
            "text_digest": document["text_digest"],
        }
        for scope in ("face", "voice", "trial"):
            self.phone.send("POST", f"{API}/me/consents/", words | {"scope": scope})

    def check_in(self, title: str) -> dict:
        self.chapter(title)
        now = datetime.now(UTC).isoformat()
        fields = {"id": str(uuid.uuid4()), "recorded_at": now, "zone": "Europe/London"}
        files = {"face": self.face, "voice": self.voice}
        self.phone.upload(f"{API}/check-ins/", fields, files)
        self.phone.upload(f"{API}/check-ins/", fields, files)
        self.note("The second upload was a phone that repeats itself: one check-in all the same.")
        path = f"{API}/check-ins/{fields['id']}/"
        read = self.phone.wait(path, lambda answer: answer.json["status"] not in WORKING, patience_s=120).json
        self.show(read)
        return read

    def correct(self, check_in: dict) -> None:
        if check_in["fused"]:
            self.chapter("The person says it showed something else; that is kept, and teaches the weights")
        else:
            self.chapter("Nothing could be read; the person's own word is kept all the same")
        self.phone.send("PUT", f"{API}/check-ins/{check_in['id']}/correction/", {"labels": [self.own_word(check_in)]})

    def corrections_teach(self, before: dict) -> None:
        after = self.check_in("The same photo and recording once more, read with what was learnt")
        self.phone.send("PUT", f"{API}/check-ins/{after['id']}/correction/", {"labels": [self.own_word(before)]})
        if before["fused"] and after["fused"]:
            for modality, weight in before["fused"]["weights"].items():
                self.note(
                    f"weight of the {modality}: {weight:.3f} before, {after['fused']['weights'][modality]:.3f} after"
                )

    def own_word(self, check_in: dict) -> str:
        """What the modality showed that the fusion did not follow; if all agree, what came second."""
        shown = [row["probabilities"] for row in check_in["estimates"] if row["probabilities"]]
        fused = check_in["fused"]["probabilities"] if check_in["fused"] else {"neutral": 1.0, "sadness": 0.0}
        first, second = sorted(fused, key=fused.get, reverse=True)[:2]
        return next((own for own in (max(p, key=p.get) for p in shown) if own != first), second)

    def take_part_in_the_trial(self) -> None:
        self.chapter("A trial manager enters them into the randomised trial")
        self.manager = self._client(self.cast.manager)
        path = f"{API}/trials/{self.cast.trial}/"
        self.manager.send("POST", f"{path}screenings/", {"reason": "declined", "people": 3})
        self.note("three others declined on the phone: counted, and nothing else is known of them")
        self.enrolment = self.manager.send("POST", f"{path}enrolments/", {"participant": self.participant}).json

    def answer_dass21(self) -> None:
        self.chapter("They answer the DASS-21")
        open_now = self.phone.get(f"{API}/questionnaires/").json["occasions"]
        occasion = next(row for row in open_now if row["instrument"] == "dass21" and row["phase"] != "coming")
        answers = {"answers": BASELINE, "answered_at": datetime.now(UTC).isoformat()}
        response = self.phone.send("PUT", f"{API}/questionnaires/{occasion['id']}/response/", answers).json
        for score in response.get("scores") or []:
            self.note(f"{score['scale']}: {score['value']:g} ({score['band'].replace('_', ' ')})")

    def be_allocated(self) -> None:
        self.chapter("They are allocated to an arm; neither they nor the manager can see which")
        path = f"{API}/trials/{self.cast.trial}/enrolments/{self.enrolment['id']}/allocation/"
        answer = self.manager.send("POST", path)
        self.note(f"the answer has these keys, and no arm: {', '.join(answer.json)}")

    def be_offered_an_activity(self) -> None:
        self.chapter("They ask for an activity, and are told why this one")
        self.phone.send("POST", f"{API}/recommendations/")
        offer = self.phone.wait(f"{API}/recommendations/", lambda answer: answer.status == 200).json
        activity = offer["activity"]
        self.note(f"[bold]{activity['title']}[/bold] ({activity['minutes']} min): {activity['summary']}")
        for number, step in enumerate(activity["steps"], start=1):
            self.note(f"  {number}. {step}")
        for reason in offer["reasons"]:
            self.note(f"why: {reason}")
        for event in ({"kind": "shown"}, {"kind": "completed"}, {"kind": "rated", "value": 4}):
            self.phone.send("POST", f"{API}/recommendations/{offer['id']}/events/", _event(event))

    def export(self) -> None:
        self.chapter("A researcher takes the data away: de-identified, arm masked")
        researcher = self._client(self.cast.researcher)
        asked = researcher.send("POST", f"{API}/research/exports/", {"trial": self.cast.trial, "reason": "demo"}).json
        path = f"{API}/research/exports/{asked['id']}/"
        done = researcher.wait(path, lambda answer: answer.json["status"] not in WORKING, patience_s=120).json
        link = urlparse(done["link"])
        package = researcher.get(f"{link.path}?{link.query}").body
        with zipfile.ZipFile(io.BytesIO(package)) as files:
            self.note("in the package: " + ", ".join(sorted(files.namelist())))

    def chapter(self, title: str) -> None:
        self.console.print(f"\n[bold]{title}[/bold]", soft_wrap=True)

    def note(self, text: str) -> None:
        self.console.print(f"    {text}", highlight=False, soft_wrap=True)

    def show(self, check_in: dict) -> None:
        table = Table("", "expressed emotion", "confidence", "quality", "weight", box=None, padding=(0, 2, 0, 4))
        for row in check_in["estimates"]:
            if row["probabilities"]:
                table.add_row(
                    row["modality"],
                    top(row),
                    f"{row['confidence']:.2f}",
                    f"{row['quality']:.2f}",
                    f"{row['weight']:.2f}",
                )
            else:
                table.add_row(row["modality"], f"not read ({row['reason']}): {row['advice']}", "", "", "")
        if check_in["fused"]:
            fused = check_in["fused"]
            unsure = " – too unsure to name one" if fused["abstained"] else ""
            table.add_row("together", top(fused) + unsure, f"{fused['confidence']:.2f}", "", "")
        self.console.print(table)

    def _client(self, account: tuple[str, str] | None = None) -> Phone:
        client = Phone(self.base, self._said)
        if account:
            email, password = account
            client.token = client.send("POST", f"{API}/session/", {"email": email, "password": password}).json["token"]
        return client

    def _said(self, answer: Answer) -> None:
        self.console.print(f"    [dim]{answer}[/dim]", highlight=False, soft_wrap=True)


def top(reading: dict) -> str:
    """The three most probable emotions; never a bare label."""
    ranked = sorted(reading["probabilities"].items(), key=lambda pair: -pair[1])[:3]
    return ", ".join(f"{emotion} {probability:.0%}" for emotion, probability in ranked)


def _event(event: dict) -> dict:
    return event | {"id": str(uuid.uuid4()), "at": datetime.now(UTC).isoformat()}
