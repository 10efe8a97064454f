//! How a metric is declared: registered under the project's prefix, and described by the same words,
//! so that the documentation cannot say otherwise than `/metrics`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::registry::{Metric, Registry};

const PREFIX: &str = "moodstream";

/// Names and values of labels.
type Labels<const N: usize> = [(&'static str, String); N];

/// A metric with labels; the same handle for the same values.
#[derive(Debug, Clone)]
pub struct Labelled<M, const N: usize, C = fn() -> M> {
    names: [&'static str; N],
    family: Family<Labels<N>, M, C>,
    /// The label values in use: a family does not tell them.
    used: Arc<Mutex<BTreeSet<[String; N]>>>,
}

impl<M: Clone, const N: usize, C: MetricConstructor<M>> Labelled<M, N, C> {
    /// The metric of these label values, in the order of the labels. Takes a lock and copies the
    /// values: keep the handle.
    pub fn of(&self, values: [&str; N]) -> M {
        self.with_used(|used| used.insert(values.map(str::to_owned)));
        self.family.get_or_create_owned(&self.labels(values))
    }

    /// Every metric that is exported, with its label values, in their order.
    pub fn all(&self) -> Vec<([String; N], M)> {
        let used = self.with_used(|used| used.clone());
        let metric = |values: [String; N]| {
            let metric = self.family.get(&self.labels(values.each_ref().map(String::as_str)))?.clone();
            Some((values, metric))
        };
        used.into_iter().filter_map(metric).collect()
    }

    /// Takes the metric of these label values out of what is exported.
    pub fn forget(&self, values: [&str; N]) {
        self.with_used(|used| used.remove(&values.map(str::to_owned)));
        self.family.remove(&self.labels(values));
    }

    /// Takes all of them out of what is exported.
    pub fn clear(&self) {
        self.with_used(BTreeSet::clear);
        self.family.clear();
    }

    fn with_used<T>(&self, change: impl FnOnce(&mut BTreeSet<[String; N]>) -> T) -> T {
        change(&mut self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn labels(&self, values: [&str; N]) -> Labels<N> {
        let mut values = values.into_iter();
        self.names.map(|name| (name, values.next().unwrap_or_default().to_owned()))
    }
}

/// What the documentation says of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Name as exported, `_total` of counters included.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// Names of its labels.
    pub labels: Vec<&'static str>,
    /// What it means.
    pub help: &'static str,
}

/// Registers metrics and keeps what is said of them, so that the documentation cannot differ.
pub(super) struct Declarations {
    pub(super) registry: Registry,
    pub(super) descriptions: Vec<Description>,
}

impl Declarations {
    pub(super) fn new() -> Self {
        Self { registry: Registry::with_prefix(PREFIX), descriptions: Vec::new() }
    }

    pub(super) fn plain<M: Metric + TypedMetric + Clone>(&mut self, name: &str, help: &'static str, metric: M) -> M {
        self.declare::<M>(name, Vec::new(), help, metric.clone());
        metric
    }

    pub(super) fn labelled<M: Metric + TypedMetric + Default, const N: usize>(
        &mut self,
        name: &str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Labelled<M, N> {
        self.labelled_with(name, labels, help, M::default)
    }

    pub(super) fn labelled_with<M: Metric + TypedMetric, const N: usize>(
        &mut self,
        name: &str,
        names: [&'static str; N],
        help: &'static str,
        constructor: fn() -> M,
    ) -> Labelled<M, N> {
        let family = Family::new_with_constructor(constructor);
        self.declare::<M>(name, names.to_vec(), help, family.clone());
        Labelled { names, family, used: Arc::default() }
    }

    fn declare<M: TypedMetric>(
        &mut self,
        name: &str,
        labels: Vec<&'static str>,
        help: &'static str,
        metric: impl Metric,
    ) {
        let kind = M::TYPE.as_str().to_owned();
        let suffix = if kind == "counter" { "_total" } else { "" };
        self.descriptions.push(Description { name: format!("{PREFIX}_{name}{suffix}"), kind, labels, help });
        self.registry.register(name, help, metric);
    }
}
