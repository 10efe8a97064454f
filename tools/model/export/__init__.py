"""From a checkpoint of the transformers library to a model bundle.

    checkpoint.py  loads it, or refuses it and says why      card.py     what its model card says
    graph.py       PyTorch -> fp32 ONNX                      int8.py     -> per-token int8
    blocks.py      finds attention, GELU, norms in a graph   fp16.py     -> fp16 with fused operators
    editing.py     rewriting a graph                          widen.py   int8 bundle -> fp32 graph
    bundle_of.py   manifest, golden texts, hashes            parity.py   PyTorch against the bundle
    speed.py       per-token int8 against dynamic int8       quality.py  labels and scores on labelled posts
    running.py     a graph on one thread                     texts.py    the project's own, and files
    refusal.py     why not, in one line
    tokens.py      ids of the bundle against transformers'   __main__.py the command, as `make model` calls it
"""
