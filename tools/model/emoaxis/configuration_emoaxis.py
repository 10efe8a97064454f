"""The configuration of a classifier of the reference model's architecture."""

from transformers import AutoConfig, PretrainedConfig


class EmoAxisConfig(PretrainedConfig):
    """`encoder` is the encoder's own configuration, of any kind that AutoModel knows."""

    model_type = "emoaxis"

    def __init__(self, encoder=None, head_size=512, head_dropout=0.1, thresholds=None, **others):
        if isinstance(encoder, dict):
            encoder = AutoConfig.for_model(**encoder)
        self.encoder = encoder
        self.head_size = head_size
        self.head_dropout = head_dropout
        # One per label; a label is given when its score reaches it. None: 0.5 for each.
        self.thresholds = thresholds
        super().__init__(**others)

    def to_dict(self):
        values = super().to_dict()
        if self.encoder is not None:
            values["encoder"] = self.encoder.to_dict()
        return values
