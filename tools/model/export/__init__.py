"""From a checkpoint of the transformers library to a model bundle.

    checkpoint.py  loads it, or refuses it and says why      card.py     what its model card says
    graph.py       PyTorch -> fp32 ONNX                      int8.py     -> per-token int8
    blocks.py      finds attention, GELU, norms in a graph   fp16.py     -> fp16 with fused operators
    bundle_of.py   manifest, golden texts, hashes            parity.py   PyTorch against the bundle
    speed.py       per-token int8 against dynamic int8       quality.py  labels and scores on labelled posts
    tokens.py      ids of the bundle against transformers'   __main__.py the command, as `make model` calls it
"""
