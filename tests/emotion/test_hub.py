"""Models of others, read from a local folder: the tests save tiny ones with random weights, nothing is fetched."""

import json

import numpy as np
import pytest
import torch

from emotion import torchvision_ops
from emotion.checkpoint import BadCheckpoint, NoModel
from emotion.estimate import EMOTIONS
from emotion.hub import goemotions
from emotion.hub.folder import gathered, served_columns
from tests.emotion.voices import voice, wav

EIGHT = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def test_labels_of_a_model_are_read_as_the_served_emotions():
    columns = served_columns(dict(enumerate(EIGHT)))
    p = gathered(np.array([0.1, 0.2, 0.3, 0.1, 0.1, 0.1, 0.05, 0.05]), columns)

    assert p[EMOTIONS.index("neutral")] == pytest.approx(0.3)  # calm is served as neutral
    assert p[EMOTIONS.index("happiness")] == pytest.approx(0.3)
    assert p.sum() == pytest.approx(1)


def test_outputs_without_a_served_meaning_are_left_out():
    p = gathered(np.array([0.5, 0.3, 0.2]), served_columns({0: "bored", 1: "hap", 2: "ang"}))

    assert p[EMOTIONS.index("happiness")] == pytest.approx(0.6)
    assert p[EMOTIONS.index("anger")] == pytest.approx(0.4)


def test_labels_that_say_nothing_are_refused_and_can_be_named():
    with pytest.raises(BadCheckpoint, match="LABEL_0"):
        served_columns({0: "LABEL_0", 1: "LABEL_1"})
    assert served_columns({0: "LABEL_0", 1: "LABEL_1"}, {"LABEL_1": "fear"}) == [None, "fear"]


def test_every_label_of_goemotions_belongs_to_one_emotion():
    assert len(goemotions.SERVED) == 28
    assert set(goemotions.SERVED.values()) == set(EMOTIONS)


def test_a_group_counts_as_one_of_its_labels_at_least():
    p = goemotions.grouped(np.array([0.5, 0.5, 0.5]), ["anger", "anger", "fear"])

    assert p[EMOTIONS.index("anger")] / p[EMOTIONS.index("fear")] == pytest.approx(0.75 / 0.5)


@pytest.fixture
def transformers():
    torchvision_ops.ensure()
    return pytest.importorskip("transformers", reason="transformers is not installed: pip install .[hub]")


@pytest.fixture
def wav2vec_folder(transformers, tmp_path):
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(5, 4),
        conv_kernel=(10, 8),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
        id2label=dict(enumerate(EIGHT)),
        label2id={name: i for i, name in enumerate(EIGHT)},
    )
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    return tmp_path


def test_wav2vec_reads_a_recording_from_a_folder(transformers, wav2vec_folder):
    from emotion.hub.wav2vec import Wav2VecRecogniser
    from emotion.recording import prepare

    recogniser = Wav2VecRecogniser.load(wav2vec_folder)
    estimate = recogniser.predict(wav(voice(2.0)))

    network = transformers.Wav2Vec2ForSequenceClassification.from_pretrained(wav2vec_folder).eval()
    samples = prepare(wav(voice(2.0))).samples
    heard = torch.tensor((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))[None]
    with torch.inference_mode():
        expected = network(heard).logits[0].softmax(0).double().numpy()
    assert estimate.probabilities[EMOTIONS.index("fear")] == pytest.approx(expected[5], abs=1e-5)
    assert estimate.probabilities[EMOTIONS.index("neutral")] == pytest.approx(expected[0] + expected[1], abs=1e-5)
    assert estimate.model_version.startswith("wav2vec2-")


def test_a_folder_without_a_model_and_one_with_pickled_weights_are_refused(wav2vec_folder, tmp_path_factory):
    from emotion.hub.wav2vec import Wav2VecRecogniser

    assert Wav2VecRecogniser.load(wav2vec_folder)  # as it is, it can be read
    with pytest.raises(NoModel, match="config.json"):
        Wav2VecRecogniser.load(tmp_path_factory.mktemp("empty"))
    (wav2vec_folder / "model.safetensors").rename(wav2vec_folder / "pytorch_model.bin")
    with pytest.raises(BadCheckpoint):
        Wav2VecRecogniser.load(wav2vec_folder)


def test_roberta_reads_words_from_a_folder(transformers, tmp_path):
    from tokenizers import ByteLevelBPETokenizer

    from emotion.hub.goemotions import NoWords, TextRecogniser

    torch.manual_seed(0)
    labels = list(goemotions.SERVED)
    config = transformers.RobertaConfig(
        vocab_size=270,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label=dict(enumerate(labels)),
        label2id={name: i for i, name in enumerate(labels)},
    )
    model = transformers.RobertaForSequenceClassification(config)
    with torch.no_grad():  # it says joy, whatever it reads
        model.classifier.out_proj.bias[labels.index("joy")] = 6.0
    model.save_pretrained(tmp_path)
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(["i am so glad"], 262, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    trained.save_model(str(tmp_path))
    transformers.RobertaTokenizerFast.from_pretrained(tmp_path).save_pretrained(tmp_path)

    reader = TextRecogniser.load(tmp_path)
    assert reader.predict("I am so glad").emotion == "happiness"
    with pytest.raises(NoWords):
        reader.predict("  ")


def test_labels_of_another_text_model_are_refused(transformers, tmp_path):
    from emotion.hub.goemotions import TextRecogniser

    config = transformers.RobertaConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, num_labels=2
    )
    transformers.RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(BadCheckpoint, match="label_0"):
        TextRecogniser.load(tmp_path)


def test_whisper_writes_down_what_the_model_says(transformers, tmp_path):
    from emotion.hub.whisper import Transcriber

    (tmp_path / "vocab.json").write_text(json.dumps({"yes": 0, "no": 1, "<|endoftext|>": 2, "a": 3}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=4,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_target_positions=8,
        pad_token_id=2,
        bos_token_id=2,
        eos_token_id=2,
        decoder_start_token_id=2,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = transformers.WhisperForConditionalGeneration(config)
    model.generation_config.max_length = 6
    model.save_pretrained(tmp_path)
    tokenizer = transformers.WhisperTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    transformers.WhisperProcessor(transformers.WhisperFeatureExtractor(), tokenizer).save_pretrained(tmp_path)

    said = Transcriber.load(tmp_path).transcribe(wav(voice(2.0)))

    loaded = transformers.WhisperForConditionalGeneration.from_pretrained(tmp_path).eval()
    from emotion.recording import prepare

    features = transformers.WhisperFeatureExtractor()(
        prepare(wav(voice(2.0))).samples, sampling_rate=16_000, return_tensors="pt"
    ).input_features
    expected = tokenizer.batch_decode(loaded.generate(features), skip_special_tokens=True)[0].strip()
    assert said == expected
