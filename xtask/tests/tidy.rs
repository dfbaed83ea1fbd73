//! The rules of the layout hold in this checkout.

#[test]
fn the_checkout_is_tidy() {
    let violations = xtask::tidy::violations().unwrap();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
