//! Any pointers and conditions, also ones that validation would refuse, on mutated records.

use moodstream::config::{Condition, Input, Not, OneOrMore, TextFormat};
use moodstream::post::Mapping;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

use crate::decoding::{PRESETS, check, examples, input};
use crate::fuzz;
use crate::mutate::{mutants, strings};

/// Pointers into the examples, broken ones, and anything.
fn pointer() -> impl Strategy<Value = String> {
    const STEPS: [&str; 22] = [
        "id",
        "text",
        "lang",
        "data",
        "payload",
        "commit",
        "record",
        "createdAt",
        "account",
        "content",
        "0",
        "1",
        "-1",
        "01",
        "99999999999999999999",
        "~0",
        "~1",
        "~",
        "",
        "referenced_tweets",
        "type",
        "did",
    ];
    let path = vec(select(&STEPS[..]), 0..5).prop_map(|steps| steps.iter().flat_map(|step| ["/", step]).collect());
    prop_oneof![8 => path, 1 => strings(), 1 => any::<String>()]
}

fn one_or_more(values: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = OneOrMore> {
    prop_oneof![values.clone().prop_map(OneOrMore::One), vec(values, 0..4).prop_map(OneOrMore::More)]
}

fn condition() -> impl Strategy<Value = Condition> {
    let value = || {
        prop_oneof![
            select(&["null", "create", "commit", "en", "update", "true"][..]).prop_map(str::to_owned),
            strings()
        ]
        .boxed()
    };
    prop_oneof![
        one_or_more(value()).prop_map(Condition::Is),
        one_or_more(value()).prop_map(|not| Condition::IsNot(Not { not })),
    ]
}

/// The settings of some preset, each key perhaps replaced.
fn inputs() -> impl Strategy<Value = Input> {
    let presets: Vec<Input> = PRESETS.iter().map(|preset| input(preset)).collect();
    let field = || proptest::option::of(one_or_more(pointer().boxed()));
    let fields = (field(), field(), field(), field(), field(), field());
    let others = (
        proptest::option::of(pointer()),
        btree_map(pointer(), condition(), 0..3),
        btree_map(strings(), pointer(), 0..3),
        select(&[TextFormat::Plain, TextFormat::Html, TextFormat::Escaped][..]),
        strings(),
    );
    (any::<Index>(), fields, others).prop_map(move |(preset, fields, (post, select, extra, text_format, platform))| {
        let mut input = preset.get(&presets).clone();
        let own = &mut input.fields;
        let (id, text, created_at, lang, author, platform_pointer) = fields;
        for (own, new) in [
            (&mut own.id, id),
            (&mut own.text, text),
            (&mut own.created_at, created_at),
            (&mut own.lang, lang),
            (&mut own.author, author),
            (&mut own.platform, platform_pointer),
        ] {
            if let Some(new) = new {
                *own = new;
            }
        }
        if let Some(post) = post {
            input.post = post;
        }
        (input.text_format, input.platform) = (text_format, platform);
        input.select.extend(select);
        input.extra.extend(extra);
        input
    })
}

#[test]
fn any_mapping_gives_mutated_records_a_known_fate() {
    let examples: Vec<Value> = PRESETS.iter().flat_map(|preset| examples(preset)).collect();
    fuzz("mapping", &(inputs(), mutants()), |(input, mutant)| {
        let mapping = Mapping::new(&input);
        let _ = check(&mapping, &mutant.bytes(&examples))?;
        Ok(())
    });
}
