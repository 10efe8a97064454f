# The words of this project; `make` alone lists them.

.DEFAULT_GOAL := help
SHELL := bash

CARGO ?= cargo
KAFKA_PORT ?= 9092
MODEL ?= models/starter
INPUTS ?= 1000000
SEED ?= $(shell date +%s)
SHELL_SCRIPTS = .ci/run $(shell find tools -name '*.sh')

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## name what this machine lacks, and how to install it
	@tools/check-prerequisites.sh

.PHONY: onnxruntime
onnxruntime: ## fetch ONNX Runtime's library, once, verified (GPU=1 for CUDA)
	@tools/fetch-onnxruntime.sh $(if $(GPU),--gpu)

.PHONY: gpu
gpu: ## fetch ONNX Runtime's CUDA build and the CUDA libraries it needs, verified (1.4 GB)
	@tools/fetch-onnxruntime.sh --gpu
	@tools/fetch-cuda.sh

.PHONY: build
build: setup ## release build: target/release/moodstream
	$(CARGO) build --release --locked

.PHONY: demo
demo: setup onnxruntime ## watch sample posts being labelled; needs no Kafka
	$(CARGO) run --release --locked -- demo

.PHONY: kafka
kafka: ## start a local Kafka node (KAFKA_PORT=9092, data in .kafka)
	@tools/check-prerequisites.sh --real-broker
	@tools/fetch-kafka.sh
	@tools/kafka/kafka.sh start --port $(KAFKA_PORT)

.PHONY: kafka-stop
kafka-stop: ## stop it
	@tools/kafka/kafka.sh stop

.PHONY: fmt
fmt: ## format the sources
	$(CARGO) fmt

.PHONY: lint
lint: setup ## formatting, clippy, rustdoc, shell syntax: any warning is an error
	for script in $(SHELL_SCRIPTS); do bash -n "$$script" || exit 1; done
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --features fault-injection -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

.PHONY: test
test: setup ## all tests; without Java and Maven all but the real-broker tests
	@tools/test.sh

.PHONY: soak
soak: setup onnxruntime readers ## the long proofs, against a real broker and on 100 million rows (an hour or so)
	@tools/check-prerequisites.sh --real-broker
	@tools/fetch-kafka.sh
	$(CARGO) test --release --locked --features fault-injection --test soak -- --nocapture

.PHONY: bench
bench: build onnxruntime python-worker python-archiver ## speed, latency and memory against a local broker, with the Python worker beside
	@tools/check-prerequisites.sh --real-broker
	@tools/fetch-kafka.sh
	@tools/bench.sh

.PHONY: micro-bench
micro-bench: ## criterion benchmarks of tokenize, micro-batch, decode, encode, archive
	$(CARGO) bench --locked --bench '*'

.PHONY: python-worker
python-worker: .deps/python-worker/ready ## the environment of `moodstream bench --against python`

.deps/python-worker/ready: tools/python-worker/requirements.txt
	python3 -m venv .deps/python-worker
	.deps/python-worker/bin/pip install --disable-pip-version-check --quiet -r $<
	touch $@

.PHONY: python-archiver
python-archiver: .deps/python-archiver/ready ## the environment of `moodstream bench archive --against python`

.deps/python-archiver/ready: tools/python-archiver/requirements.txt
	python3 -m venv .deps/python-archiver
	.deps/python-archiver/bin/pip install --disable-pip-version-check --quiet -r $<
	touch $@

.PHONY: readers
readers: .deps/readers/ready ## DuckDB, Polars, pandas and pyarrow for the tests of the archive (SPARK=1: PySpark too, 450 MB)
	$(if $(SPARK),.deps/readers/bin/pip install --disable-pip-version-check --quiet -r tools/readers/spark-requirements.txt)

.deps/readers/ready: tools/readers/requirements.txt
	python3 -m venv .deps/readers
	.deps/readers/bin/pip install --disable-pip-version-check --quiet -r $<
	touch $@

.PHONY: fuzz
fuzz: setup ## mutated records, mappings, manifests and texts, a million of each (INPUTS=1000000, SEED=)
	MOODSTREAM_FUZZ_INPUTS=$(INPUTS) MOODSTREAM_FUZZ_SEED=$(SEED) \
		$(CARGO) test --locked --features fault-injection --test fuzz -- --nocapture --test-threads 1

.PHONY: schemas
schemas: ## write schemas/, docs/metrics.md, docs/configuration.md and docs/trends.svg anew from the code (tests compare them)
	MOODSTREAM_UPDATE=1 $(CARGO) test --locked --features fault-injection --lib --quiet -- committed

.deps/model-venv/ready: tools/model/requirements.txt
	python3 -m venv .deps/model-venv
	.deps/model-venv/bin/pip install --disable-pip-version-check --quiet -r $<
	touch $@

.PHONY: bundle
bundle: .deps/model-venv/ready ## write a bundle's golden scores and hashes anew (MODEL=models/starter)
	.deps/model-venv/bin/python tools/model/bundle.py $(MODEL)

.PHONY: bundle-check
bundle-check: .deps/model-venv/ready ## compare them, in Python, without writing
	.deps/model-venv/bin/python tools/model/bundle.py --check $(MODEL)

.PHONY: evaluate
evaluate: setup onnxruntime ## judge a bundle on gold labels: figures, and target/evaluation.svg (DATA=file, MODEL=models/starter)
	@test -n "$(DATA)" || { echo "make evaluate DATA=<file in the layout of SemEval-2018 E-c> MODEL=<bundle>; docs/evaluation.md" >&2; exit 2; }
	$(CARGO) run --release --locked -- model evaluate "$(DATA)" --model "$(MODEL)" --svg target/evaluation.svg

.PHONY: model-environment
model-environment: ## Python for training and export: torch, transformers (5 GB, once)
	@tools/model/environment.sh

# Empty words are left out; a value with spaces stays one argument.
named = $(if $($(1)),$(2) "$($(1))")
model_arguments = $(call named,OUT,--out) $(call named,ID,--id) $(call named,REVISION,--revision) \
	$(call named,LABELS,--labels) $(call named,THRESHOLDS,--thresholds) $(call named,LANGUAGES,--languages) \
	$(call named,MAX_LENGTH,--max-length) $(call named,LICENCE,--licence) $(call named,DESCRIPTION,--description) $(trusted)
trusted = $(if $(TRUST_CODE),--trust-code) $(if $(MULTI_LABEL),--multi-label)
training_tool = PYTHONPATH=tools/model .deps/model-training/bin/python -W ignore -m training
export_tool = PYTHONPATH=tools/model .deps/model-training/bin/python -W ignore -m export

.PHONY: model
model: model-environment ## make a bundle of a checkpoint (MODEL=<hub id or folder> PRECISION=fp32|int8|fp16); docs/models.md
	@$(if $(filter command line environment,$(origin MODEL)),,echo 'make model: which? MODEL=<hub id or folder>' >&2; exit 2)
	@$(export_tool) "$(MODEL)" --precision $(or $(PRECISION),int8) $(model_arguments)

.PHONY: model-test
model-test: model-environment ## tests of training and export, on checkpoints made on the spot
	cd tools/model && ../../.deps/model-training/bin/python -m pytest tests

.PHONY: model-parity
model-parity: model-environment ## PyTorch against a bundle on 2,000 texts (MODEL=<checkpoint> BUNDLE=)
	@$(export_tool).parity "$(MODEL)" "$(BUNDLE)" --out target/parity.jsonl $(call named,TEXTS,--texts) $(trusted)

.PHONY: model-quality
model-quality: model-environment ## what a precision costs (FP32=<bundle> BUNDLE= TEXTS=<labelled table or texts>)
	@$(export_tool).quality "$(FP32)" "$(BUNDLE)" "$(TEXTS)"

.PHONY: model-speed
model-speed: model-environment ## per-token int8 against dynamic int8 (FP32=<bundle> BUNDLE=)
	@$(export_tool).speed "$(FP32)" "$(BUNDLE)" $(call named,TEXTS,--texts)

.PHONY: tokenizer-parity
tokenizer-parity: model-environment ## a bundle's token ids against transformers' (MODEL=<checkpoint> BUNDLE= DATA=<files>)
	@$(export_tool).tokens "$(MODEL)" "$(BUNDLE)" $(DATA) $(if $(TRUST_CODE),--trust-code)

.PHONY: train
train: model-environment ## train the starter model, in .training; goes on where it stopped (DATA=<folder of tweets>)
	@$(training_tool) train --data "$(DATA)" --work .training

.PHONY: cross-validate
cross-validate: model-environment ## what the recipe of `make train` is worth, on three folds (DATA=<folder of tweets>)
	@$(training_tool) cross-validate --data "$(DATA)" --work .training

.PHONY: clean
clean: kafka-stop ## remove builds and the local Kafka's data; .deps/ (fetched files) stays
	$(CARGO) clean
	rm -rf .kafka
