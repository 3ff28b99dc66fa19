use super::*;

fn field(name: &str, test: Test) -> RowFilter {
    RowFilter::Field(name.to_owned(), test)
}

fn text(text: &str) -> FieldValue {
    FieldValue::Text(text.to_owned())
}

fn row() -> Fields {
    Fields::from([
        ("name".to_owned(), text("a")),
        ("size".to_owned(), FieldValue::Long(3)),
        ("tags".to_owned(), FieldValue::TextSet(BTreeSet::from(["x".to_owned()]))),
    ])
}

#[test]
fn each_test_is_what_it_says() {
    let cases = [
        (field("name", Test::Is(text("a"))), true),
        (field("name", Test::Is(text("b"))), false),
        (field("name", Test::OneOf(BTreeSet::from([text("a"), text("b")]))), true),
        (field("name", Test::OneOf(BTreeSet::from([text("b")]))), false),
        (field("size", Test::Below(3)), false),
        (field("size", Test::Below(4)), true),
        (field("size", Test::AtMost(3)), true),
        (field("size", Test::AtMost(2)), false),
        (field("tags", Test::Contains("x".to_owned())), true),
        (field("tags", Test::Contains("y".to_owned())), false),
    ];
    for (filter, expected) in cases {
        assert_eq!(filter.admits(&row()), expected, "{filter:?}");
        assert_eq!(RowFilter::Not(Box::new(filter.clone())).admits(&row()), !expected, "not {filter:?}");
    }
}

#[test]
fn a_field_that_is_missing_or_of_another_type_fails_the_whole_filter() {
    let passes = field("name", Test::Is(text("a")));
    let broken = [
        field("gone", Test::Is(text("a"))),
        field("size", Test::Is(text("a"))),
        field("size", Test::OneOf(BTreeSet::from([text("a"), FieldValue::Long(3)]))),
        field("name", Test::Below(9)),
        field("name", Test::AtMost(9)),
        field("name", Test::Contains("a".to_owned())),
    ];
    for broken in broken {
        assert!(!broken.admits(&row()), "{broken:?}");
        assert!(!RowFilter::Not(Box::new(broken.clone())).admits(&row()), "not {broken:?}");
        for parts in [vec![passes.clone(), broken.clone()], vec![broken.clone(), passes.clone()]] {
            assert!(!RowFilter::Any(parts).admits(&row()), "any {broken:?}");
        }
        let all = RowFilter::All(vec![field("name", Test::Is(text("b"))), broken.clone()]);
        assert!(!RowFilter::Not(Box::new(all)).admits(&row()), "not all {broken:?}");
    }
}

#[test]
fn hints_are_look_ups_that_find_every_row_that_passes() {
    let is = |name, value| field(name, Test::Is(text(value)));
    let indexed = |name: &str| name != "plain";
    let either =
        RowFilter::Any(vec![is("a", "1"), field("b", Test::OneOf(BTreeSet::from([text("2"), text("3")])))]);
    let found: Vec<_> = either.index_hints(&indexed).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, ["a", "b", "b"]);

    let fewest = RowFilter::All(vec![either.clone(), is("plain", "x"), is("c", "4")]);
    assert_eq!(fewest.index_hints(&indexed), Some(BTreeSet::from([("c", &text("4"))])));

    for none in [
        RowFilter::Any(vec![is("a", "1"), is("plain", "x")]),
        RowFilter::Not(Box::new(is("a", "1"))),
        field("size", Test::Below(1)),
        field("tags", Test::Contains("x".to_owned())),
        RowFilter::All(vec![is("plain", "x")]),
    ] {
        assert_eq!(none.index_hints(&indexed), None, "{none:?}");
    }
}
