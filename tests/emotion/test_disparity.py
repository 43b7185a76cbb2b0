"""Face against voice: measure, null, timeline, report, and a language model that is not believed."""

import csv
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from emotion.disparity import Null, disagreement, jensen_shannon, report, timeline, voice_windows, windows
from emotion.disparity.report import CAUTION
from emotion.disparity.rewriting import NoAnswer, is_covered, rewrite
from emotion.estimate import EMOTIONS


def saying(emotion, probability=0.7):
    p = np.full(7, (1 - probability) / 6)
    p[EMOTIONS.index(emotion)] = probability
    return p


def test_divergence_and_disagreement_of_known_distributions():
    assert jensen_shannon(np.eye(7)[0], np.eye(7)[1]) == pytest.approx(1)
    assert jensen_shannon(saying("fear"), saying("fear")) == 0
    assert disagreement(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == pytest.approx(np.log(2))
    assert disagreement(saying("fear"), saying("anger")) == pytest.approx(-np.log(2 * 0.7 * 0.05 + 5 * 0.05**2))


def test_an_alert_is_false_for_five_percent_of_new_congruent_people():
    rng = np.random.default_rng(0)
    alerts = []
    for _ in range(300):
        null = Null(tuple(rng.normal(size=99)))
        alerts += [null.p_value(score) < 0.05 for score in rng.normal(size=20)]
    assert np.mean(alerts) == pytest.approx(0.05, abs=0.012)


def test_the_null_is_drawn_to_a_person_whose_face_and_voice_always_differ():
    population = Null(tuple(np.linspace(0, 1, 99)))
    person = population.knowing([2.0] * 20)
    assert population.p_value(1.5) == pytest.approx(0.01)
    assert person.shift == pytest.approx(0.5 * (2.0 - 0.5))
    assert person.p_value(1.5) == population.p_value(1.5 - 0.75)
    assert Null.from_json(json.loads(json.dumps(person.to_json()))) == person


def test_windows_of_two_and_a_half_seconds_slide_over_the_recording():
    assert windows(5) == [(0.0, 2.5), (1.25, 3.75), (2.5, 5.0)]
    assert windows(1.2) == [(0.0, 1.2)]


def test_each_window_of_the_voice_is_read_by_itself():
    rate = 1000
    samples = np.concatenate([np.full(2500, 0.1), np.full(2500, 0.5)])

    def predict(loud):
        return None if loud.min() != loud.max() else saying("anger" if loud[0] > 0.3 else "sadness")

    found = voice_windows(samples, rate, predict)
    assert [(span, EMOTIONS[p.argmax()]) for span, p in found] == [((0.0, 2.5), "sadness"), ((2.5, 5.0), "anger")]


@pytest.fixture
def passages():
    """Ten seconds: a happy face throughout, a voice that is sad from 5 s on."""
    null = Null(tuple(np.linspace(0, 2, 99)))
    face = [(float(second), saying("happiness")) for second in range(10)]
    voice = [(span, saying("sadness" if span[0] >= 5 else "happiness", 0.9)) for span in windows(10)]
    return timeline(face, voice, null)


def test_the_timeline_alerts_where_the_voice_departs_from_the_face(passages):
    assert [p.start_s for p in passages if p.alert] == [5.0, 6.25, 7.5]
    sad = next(p for p in passages if p.start_s == 5)
    assert (sad.face, sad.voice, sad.voice_probability) == ("happiness", "sadness", pytest.approx(0.9))
    assert sad.divergence_bits == pytest.approx(jensen_shannon(saying("happiness"), saying("sadness", 0.9)))


def test_frames_of_a_window_are_averaged_and_a_window_without_a_face_is_left_out():
    face = [(0.5, saying("fear", 0.9)), (1.5, saying("anger", 0.7)), (9.0, saying("fear"))]
    voice = [((0.0, 2.5), saying("fear")), ((2.5, 5.0), saying("fear"))]
    [only] = timeline(face, voice)
    assert (only.face, only.face_probability) == ("fear", pytest.approx((0.9 + 0.05) / 2))
    assert (only.p_value, only.alert) == (None, None)


def test_the_report_tells_the_strongest_passages_once_and_is_no_diagnosis(passages):
    told = report(passages)
    assert [p.start_s for p in told.telling if p.alert] == [5.0, 7.5]  # 6.25 overlaps both
    assert len(told.telling) == 3
    assert told.sentences[0] == "7 windows were compared; in 3 of them face and voice differed unusually."
    assert any(
        s.startswith(
            "From 5.00 s to 7.50 s the face expressed happiness (probability 0.70) and the voice sadness (0.90)"
        )
        for s in told.sentences
    )
    assert told.sentences[-1] == CAUTION
    rows = list(csv.DictReader(io.StringIO(told.table())))
    assert [row["alert"] for row in rows].count("True") == 3
    assert rows[4]["voice"] == "sadness"


def test_every_figure_of_the_sentences_stands_in_the_table(passages):
    told = report(passages)
    numbers = [float(c) for row in csv.reader(io.StringIO(told.table())) for c in row if c[:1].isdigit()]
    cells = {f"{number:.{digits}f}" for number in numbers for digits in (2, 3)}
    for sentence in told.sentences[1:-1]:
        for word in sentence.replace("(", " ").replace(")", " ").replace(";", " ").replace(",", " ").split():
            if word[0].isdigit():
                assert word.rstrip(".") in cells, sentence


def test_the_figure_marks_the_alerts(passages, tmp_path):
    from PIL import Image

    path = tmp_path / "timeline.png"
    report(passages).figure(path)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    red = (pixels[..., 0] - pixels[..., 2] > 20).mean()
    report([p for p in passages if not p.alert]).figure(path)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert red > 0.02 > (pixels[..., 0] - pixels[..., 2] > 20).mean()


GIVEN = ["From 5.00 s to 7.50 s the face expressed happiness (probability 0.70) and the voice sadness (0.90)."]


def test_a_figure_or_an_emotion_that_was_not_given_is_found():
    assert is_covered("Between 5.00 and 7.50 s a happiness of 0.70 met a voice of sadness.", GIVEN)
    for invented in (
        "The face was happy for 12 seconds.",
        "The face expressed happiness at 0.7001.",
        "The voice expressed anger.",
        "This happened twice.",
        "The voice was sad 90% of the time.",
    ):
        assert not is_covered(invented, GIVEN), invented


@pytest.fixture
def model():
    """A local server that answers as an OpenAI-compatible one would, and keeps what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        answer = ""

        def do_POST(self):
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            body = json.dumps({"choices": [{"message": {"content": Handler.answer}}]}).encode()
            self.send_response(200 if Handler.answer else 500)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Handler, f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_sentence_of_the_model_with_an_invented_figure_is_dropped(model):
    handler, address, asked = model
    handler.answer = (
        "- The face showed happiness (0.70) while the voice carried sadness (0.90).\n- That is a risk of 0.83."
    )
    said = rewrite([*GIVEN, CAUTION], address, model="local")
    assert said == ["The face showed happiness (0.70) while the voice carried sadness (0.90).", CAUTION]
    [(path, body)] = asked
    assert path == "/v1/chat/completions"
    assert set(body) == {"model", "messages", "temperature"}
    assert body["messages"][1]["content"] == "\n".join(GIVEN)  # nothing else leaves


def test_without_a_usable_answer_the_templates_stand(model):
    handler, address, _ = model
    handler.answer = "The voice was sad for 99 seconds."
    with pytest.raises(NoAnswer, match="keeps to the figures"):
        rewrite(GIVEN, address, model="local")
    handler.answer = ""
    with pytest.raises(NoAnswer, match="did not answer"):
        rewrite(GIVEN, address, model="local")
    with pytest.raises(NoAnswer, match="must begin with"):
        rewrite(GIVEN, "file:///etc/passwd", model="local")


def test_the_figure_draws_windows_and_the_table_the_whole_recording_as_well(passages, monkeypatch, tmp_path):
    from importlib import import_module

    from emotion.disparity import Comparison, report_on

    drawn = []
    monkeypatch.setattr(
        import_module("emotion.disparity.report"), "_draw", lambda axes, shown, told: drawn.extend(shown)
    )
    whole = report_on(Comparison(passages[0], passages))
    whole.figure(tmp_path / "timeline.png")
    assert drawn == list(passages)
    assert len(whole.table().splitlines()) == 1 + 1 + len(passages)
