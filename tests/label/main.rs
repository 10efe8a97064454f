//! `moodstream label` as people and scripts meet it: every line in one place, whatever is in it and however it ends.
//!
//! Most tests have the stand-in classifier, whose scores tell which text a post must have been; those about the
//! model have the starter model and need ONNX Runtime (`make onnxruntime`).

mod accounting;
mod archives;
mod bench;
mod endings;
mod program;
mod readers;
mod refusals;
mod same_as_run;
mod tree;
