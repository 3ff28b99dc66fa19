use super::*;

/// Every rule there can be: each non-empty set of audiences.
fn all_rules() -> impl Iterator<Item = Rule> {
    (1_u8..1 << Audience::ALL.len()).map(|set| {
        let named = Audience::ALL.into_iter().enumerate().filter(move |(bit, _)| set >> bit & 1 == 1);
        Rule::new(named.map(|(_, audience)| audience)).unwrap()
    })
}

/// The expectation in words of its own: by name, so that it shares no code with what it checks.
fn expected(rule: &Rule, caller: CallerKind) -> Decision {
    let names: Vec<&str> = rule.audiences().map(Audience::as_str).collect();
    if names.contains(&"public") || names.contains(&caller.as_str()) {
        Decision::Allow
    } else if caller == CallerKind::Anonymous {
        Decision::Deny(DenyReason::Unauthenticated)
    } else {
        Decision::Deny(DenyReason::NotPermitted)
    }
}

#[test]
fn every_rule_decides_every_caller_as_its_names_say() {
    let mut cases = 0;
    for rule in all_rules() {
        for caller in CallerKind::ALL {
            assert_eq!(decide(&rule, &caller), expected(&rule, caller), "{rule:?} {caller:?}");
            cases += 1;
        }
    }
    assert_eq!(cases, 63 * 6);
}

#[test]
fn invariant_nobody_without_an_identity_passes_a_rule_that_is_not_public() {
    for rule in all_rules().filter(|rule| !rule.audiences().any(|audience| audience == Audience::Public)) {
        assert_eq!(decide(&rule, &CallerKind::Anonymous), Decision::Deny(DenyReason::Unauthenticated));
    }
}

#[test]
fn a_denial_maps_to_its_stable_code() {
    assert_eq!(Reason::from(DenyReason::Unauthenticated).code(), "unauthenticated");
    assert_eq!(Reason::from(DenyReason::NotPermitted).code(), "not_permitted");
}
