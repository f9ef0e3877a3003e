use super::*;

fn known() -> Known {
    let mut known = Known::default();
    for (fact, value) in [("accuracy", 0.75), ("params", 2e6), ("depth", 4.0), ("failed", 0.0)] {
        known.set(fact, Some(value));
    }
    known
}

fn value(text: &str) -> Option<f64> {
    text.parse::<Expression>().unwrap_or_else(|error| panic!("{text}: {error}")).value(&known())
}

#[test]
fn arithmetic_is_that_of_sql_on_real_numbers() {
    let cases: &[(&str, f64)] = &[
        ("accuracy", 0.75),
        ("1 + 2 * 3 - 4 / 8", 6.5),
        ("(1 + 2) * 3", 9.0),
        ("1/2", 0.5),
        ("2 - 3 - 4", -5.0),
        ("16 / 4 / 2", 2.0),
        ("7.9 % 4", 3.0),
        ("-7 % 4", -3.0),
        ("- -1", 1.0),
        ("-2 * -+3", 6.0),
        (".5 + 1e-1", 0.6),
        ("accuracy - 0.02*ln(params/1e6)", 0.75 - 0.02 * std::f64::consts::LN_2),
        ("exp(0) + sqrt(9) + pow(2, 10) + log10(1000)", 1_031.0),
        ("min(3, accuracy, 2) + max(1, depth)", 4.75),
        ("abs(-3) + floor(2.7) + ceil(2.1) + round(2.5) + round(0.126, 2)", 11.13),
        ("1 < 2", 1.0),
        ("2 <= 1 or depth = 4 and not failed", 1.0),
        ("not 1 = 2", 1.0),
        ("not not 5", 1.0),
        ("3 between 2 and 4", 1.0),
        ("3 not between 2 and 4 or 0", 0.0),
        ("depth in (1, 4)", 1.0),
        ("depth not in (1, 4)", 0.0),
        ("depth in ()", 0.0),
        ("seconds is null", 1.0),
        ("depth is not null", 1.0),
        ("coalesce(seconds, null, 3)", 3.0),
        ("iif(seconds > 1, 1, 2)", 2.0),
        ("CASE WHEN failed THEN 0 ELSE Accuracy END", 0.75),
        ("case depth when 3 then 1 when 4 then 2 end", 2.0),
        ("0 and seconds", 0.0),
        ("1 or seconds", 1.0),
        ("min ( accuracy , 0.9 )", 0.75),
    ];
    for (text, expected) in cases {
        let found = value(text).unwrap_or_else(|| panic!("{text} is unknown"));
        assert!((found - expected).abs() < 1e-12, "{text}: {found}");
    }
}

#[test]
fn what_cannot_be_known_is_unknown() {
    for text in [
        "seconds + 1",
        "min(1, seconds)",
        "1/0",
        "5 % 0.5",
        "ln(0)",
        "ln(-1)",
        "sqrt(-1)",
        "exp(1000)",
        "case when 0 then 1 end",
        "1 and seconds",
        "0 or seconds",
        "not seconds",
        "seconds = seconds",
        "round(1, seconds)",
        "null",
    ] {
        assert_eq!(value(text), None, "{text}");
    }
    let expression: Expression = "seconds + madds - seconds / depth".parse().unwrap();
    assert_eq!(expression.facts().collect::<Vec<_>>(), ["seconds", "madds", "depth"]);
    assert_eq!(expression.lacks(&known()), ["seconds", "madds"]);
    assert_eq!(expression.of_the_machine(), Some("seconds"));
}

/// Values to the last bit: an implementation that changed would change history.
#[test]
fn functions_are_these_on_every_machine() {
    let bits = |text: &str| value(text).unwrap().to_bits();
    assert_eq!(bits("ln(3)"), 0x3ff1_93ea_7aad_030a);
    assert_eq!(bits("exp(1)"), 0x4005_bf0a_8b14_576a);
    assert_eq!(bits("sqrt(2)"), 0x3ff6_a09e_667f_3bcd);
    assert_eq!(bits("pow(2, 0.5)"), 0x3ff6_a09e_667f_3bcd);
}

#[test]
fn mistakes_are_pointed_at() {
    let cases = [
        ("acuracy * 2", "no fact is called `acuracy`", "acuracy"),
        ("accuracy + random()", "no function is called `random`", "random"),
        ("max(accuracy)", "max takes 2 to 20 arguments, not 1", ")"),
        ("pow(1)", "pow takes 2 arguments, not 1", ")"),
        ("ln()", "ln takes 1 argument, not 0", ")"),
        ("accuracy)", "a `)` without its `(`", ")"),
        ("2 * (accuracy", "a `(` without its `)`", "("),
        ("accuracy --1", "`--` begins a comment", "-"),
        ("accuracy; drop", "`;` has no meaning", ";"),
        ("(select 1)", "no fact is called `select`", "select"),
        ("'a'", "`'` has no meaning", "'"),
        ("ln + 1", "`ln` is a function", "ln"),
        ("1, 2", "a comma outside", ","),
        ("1 2", "an operator is missing", "2"),
        ("accuracy +", "not complete", ""),
        ("1e", "`1e` is no number", "1e"),
        ("case when 1 then 2", "`end` is expected", ""),
        ("case 1 end", "`when` is expected", "end"),
        ("* 2", "a number or a fact", "*"),
        ("(1, 2)", "`)` is expected", ","),
    ];
    for (text, message, at) in cases {
        let error = text.parse::<Expression>().unwrap_err();
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(&text[error.at.0..error.at.1], at, "{text}");
    }
    let deep = format!("{}1{}", "(".repeat(100), ")".repeat(100));
    assert!(deep.parse::<Expression>().unwrap_err().message.contains("nested"));
    assert!("1+".repeat(600).parse::<Expression>().unwrap_err().message.contains("1000 bytes"));
}
