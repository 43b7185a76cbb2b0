"""Adapters for pretrained models of others, read from a folder that you put there: nothing is ever downloaded.

    wav2vec.Wav2VecRecogniser.load("models/wav2vec2-emotion").predict(recording) -> Estimate
    goemotions.TextRecogniser.load("models/roberta-go-emotions").predict(words) -> Estimate
    whisper.Transcriber.load("models/whisper-base").transcribe(recording) -> words

They need the extra: `pip install .[hub]`. A folder is what `save_pretrained` of transformers writes, with its
weights as safetensors: pickles are refused, because they can run code. The licence of a model is its own; look at
it before a study uses the model.
"""
