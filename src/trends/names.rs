//! The models and emotions that files tell of, numbered as they are met.

use crate::archive::footer::Labelling;

/// A model that has labelled posts.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) hash: String,
    pub(super) id: String,
    /// Its emotions, by number, as it calls them, in its order.
    labels: Vec<(usize, String)>,
    /// Posts that it has labelled, of those that were asked for.
    pub(super) posts: u64,
    /// Whether the question is about it.
    pub(super) chosen: bool,
}

impl Model {
    /// Short, for people.
    pub(super) fn name(&self) -> String {
        let mark: String = self.hash.chars().take(8).collect();
        format!("{} {mark}", self.id)
    }
}

/// An emotion that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Its number in a tally.
    pub(super) number: usize,
    /// As the model calls it.
    pub(super) label: String,
    /// The column of its scores.
    pub(super) column: String,
}

/// Everything that was met.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    models: Vec<Model>,
    /// By the columns of their scores: two models may spell one emotion in two ways.
    columns: Vec<String>,
}

impl Names {
    /// The number of a file's model, and those of its labels.
    pub(super) fn meet(&mut self, hash: &str, labelling: &Labelling, chosen: bool) -> (usize, Vec<usize>) {
        let numbers: Vec<usize> = labelling.labels.iter().map(|(_, column)| self.emotion(column)).collect();
        let number = self.models.iter().position(|model| model.hash == hash).unwrap_or_else(|| {
            let (hash, id) = (hash.to_owned(), labelling.model_id.clone());
            self.models.push(Model { hash, id, labels: Vec::new(), posts: 0, chosen });
            self.models.len() - 1
        });
        let model = &mut self.models[number];
        if model.labels.is_empty() {
            let spelled = labelling.labels.iter().map(|(label, _)| label.clone());
            model.labels = numbers.iter().copied().zip(spelled).collect();
        }
        (number, numbers)
    }

    /// Takes in what another file says, if there is one: only for its labels.
    pub(super) fn learn(&mut self, file: Option<(String, Labelling)>) {
        if let Some((hash, labelling)) = file {
            self.meet(&hash, &labelling, true);
        }
    }

    fn emotion(&mut self, column: &str) -> usize {
        self.columns.iter().position(|known| known == column).unwrap_or_else(|| {
            self.columns.push(column.to_owned());
            self.columns.len() - 1
        })
    }

    /// The column of an emotion.
    pub(super) fn column(&self, number: usize) -> Option<&str> {
        self.columns.get(number).map(String::as_str)
    }

    /// Hash, id, and labels with their columns of every model, in the order of their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (String, String, Vec<(String, String)>)> {
        self.models.iter().map(|model| {
            let labels = model.labels.iter().map(|(number, label)| (label.clone(), self.columns[*number].clone()));
            (model.hash.clone(), model.id.clone(), labels.collect())
        })
    }

    /// A model by its number.
    pub(super) fn model(&self, number: usize) -> Option<&Model> {
        self.models.get(number)
    }

    /// Notes how many posts a model has labelled.
    pub(super) fn count(&mut self, number: usize, posts: u64) {
        if let Some(model) = self.models.get_mut(number) {
            model.posts += posts;
        }
    }

    /// All models, the one with most posts first.
    pub(super) fn models_by_posts(&self) -> Vec<&Model> {
        let mut models: Vec<&Model> = self.models.iter().collect();
        models.sort_by(|one, other| other.posts.cmp(&one.posts).then_with(|| one.hash.cmp(&other.hash)));
        models
    }

    /// All emotions of chosen models, in the order of the models that have most posts.
    pub(super) fn emotions(&self) -> Vec<Shown> {
        let mut emotions: Vec<Shown> = Vec::new();
        let models = self.models_by_posts().into_iter().filter(|model| model.chosen);
        for (number, label) in models.flat_map(|model| &model.labels) {
            if !emotions.iter().any(|known| known.number == *number) {
                let column = self.columns[*number].clone();
                emotions.push(Shown { number: *number, label: label.clone(), column });
            }
        }
        emotions
    }
}
