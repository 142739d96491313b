use super::*;

/// What a record must say: kind of key, its bits, signature, whether its own signature verifies.
type Row = (&'static str, Option<u32>, &'static str, Option<bool>);

macro_rules! fixture {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../testdata/certificates/", $name, ".der")).as_slice())
    };
}

/// Those that need OpenSSL to make: see `testdata/certificates/make.sh`.
const FIXTURES: [((&str, &[u8]), Row); 16] = [
    (fixture!("rsa2048-issuer"), ("rsa", Some(2_048), "rsa-sha256", Some(true))),
    (fixture!("rsa1024-issuer"), ("rsa", Some(1_024), "rsa-sha256", Some(true))),
    (fixture!("sha1"), ("ec-p256", Some(256), "rsa-sha1", Some(false))),
    (fixture!("md5"), ("ec-p256", Some(256), "rsa-md5", Some(false))),
    (fixture!("by-rsa1024"), ("ec-p256", Some(256), "rsa-sha256", Some(false))),
    (fixture!("rsa-exponent"), ("rsa", Some(2_048), "rsa-sha256", Some(false))),
    (fixture!("self-sha1"), ("rsa", Some(1_024), "rsa-sha1", Some(true))),
    (fixture!("self-md5"), ("rsa", Some(2_048), "rsa-md5", None)),
    (fixture!("self-pss"), ("rsa-pss", Some(2_048), "rsa-pss-sha384", Some(true))),
    (fixture!("self-pss-long-salt"), ("rsa-pss", Some(2_048), "rsa-pss-sha384", None)),
    (fixture!("self-ed448"), ("ed448", Some(456), "ed448", None)),
    (fixture!("self-secp256k1"), ("ec-secp256k1", Some(256), "ecdsa-sha256", Some(true))),
    (fixture!("self-explicit"), ("ec", None, "ecdsa-sha256", None)),
    (fixture!("self-dsa"), ("dsa", Some(2_048), "dsa-sha256", None)),
    (fixture!("self-rsa16384"), ("rsa", Some(16_384), "rsa-sha256", None)),
    (fixture!("p521"), ("ec-p521", Some(521), "ecdsa-sha512", Some(true))),
];

#[test]
fn keys_and_signatures_have_their_names() {
    let mut describer = Describer::new(false);
    for ((name, der), expected) in FIXTURES {
        let record = describer.describe(der);
        let row = (
            record.key_type.as_deref().unwrap(),
            record.key_bits,
            record.signature_algorithm.as_deref().unwrap(),
            record.self_signed,
        );
        assert_eq!(row, expected, "{name}");
        assert_eq!(record.parse_error, None, "{name}");
        assert_eq!(record.der, None, "{name}");
        let is_issuer = name.ends_with("-issuer");
        assert_eq!((record.ca, record.version), (Some(is_issuer), Some(3)), "{name}");
        let sans = if is_issuer { vec![] } else { vec![format!("{name}.example.com")] };
        assert_eq!(record.sans, sans);
    }
}

/// Every octet of a certificate cut off or changed: a record with the hash, and all that stands before the cut.
#[test]
fn every_certificate_has_a_record() {
    let (_, der) = fixture!("sha1");
    let whole = describe(der, &[0; 32], false);
    let mut describer = Describer::new(false);
    for len in 0..der.len() {
        let record = describer.describe(&der[..len]);
        assert_eq!(record.sha256, hex(&sha256(&[&der[..len]])));
        assert!(record.parse_error.is_some());
        assert_eq!(BASE64_STANDARD.decode(record.der.as_ref().unwrap()).unwrap(), &der[..len]);
    }
    let mut kept = 0;
    for at in 0..der.len() {
        let mut changed = der.to_vec();
        changed[at] = changed[at].wrapping_add(0x80);
        let record = describer.describe(&changed);
        assert_eq!(record.sha256, hex(&sha256(&[&changed])));
        assert_eq!(record.parse_error.is_some(), record.der.is_some());
        kept += u32::from(record.issuer == whole.issuer && record.sans == whole.sans);
    }
    assert!(kept > 300, "{kept} of {}", der.len());
}

#[test]
fn one_broken_field_hides_no_other() {
    let (_, der) = fixture!("sha1");
    let whole = describe(der, &[0; 32], false);
    let fields = Fields::of(der);
    let offset = |part: &[u8]| part.as_ptr().addr() - der.as_ptr().addr();
    let check = |part: &[u8], error: &str, cleared: fn(&mut CertificateRecord)| {
        let mut changed = der.to_vec();
        changed[offset(part)] ^= 0x2c; // the tag of the first thing in it becomes another
        let mut expected = whole.clone();
        cleared(&mut expected);
        let mut record = describe(&changed, &[0; 32], false);
        assert_eq!(record.parse_error.take().as_deref(), Some(error));
        record.der = None;
        record.spki_sha256.clone_from(&expected.spki_sha256);
        assert_eq!(record, expected);
    };
    check(fields.not_before.unwrap().whole, "not_before: is no time that there is", |record| {
        record.not_before = None;
    });
    check(fields.not_after.unwrap().whole, "not_after: is no time that there is", |record| {
        record.not_after = None;
    });
    let names = fields.extension(SUBJECT_ALT_NAME).unwrap().unwrap();
    check(names, "sans: has 0x1c where 0x30 belongs", |record| record.sans.clear());
    check(sequence(fields.key.unwrap()).unwrap(), "key: is no SubjectPublicKeyInfo", |record| {
        record.key_type = None;
        record.key_bits = None;
    });
    let constraints = fields.extension(fields::BASIC_CONSTRAINTS).unwrap().unwrap();
    check(constraints, "ca: is no BasicConstraints", |record| record.ca = None);
    check(
        sequence(fields.algorithm.unwrap()).unwrap(),
        "signature_algorithm: has no object identifier",
        |record| {
            record.signature_algorithm = None;
        },
    );
}

#[test]
fn serial_numbers_are_whole_octets_and_may_be_negative() {
    assert_eq!(serial(&[0]), "00");
    assert_eq!(serial(&[0x0f, 0x2a]), "0f2a");
    assert_eq!(serial(&[0, 0x80]), "80");
    assert_eq!(serial(&[0xff]), "-01");
    assert_eq!(serial(&[0x80]), "-80");
    assert_eq!(serial(&[0xff, 0x00]), "-0100");
    assert_eq!(serial(&[0x85, 0x01]), "-7aff");
    assert_eq!(serial(&[]), "");
}

#[test]
fn a_certificate_is_described_once() {
    let (_, der) = fixture!("self-sha1");
    let mut describer = Describer::new(true);
    let first = describer.describe(der);
    assert!(Arc::ptr_eq(&first, &describer.describe(der)));
    assert_eq!(BASE64_STANDARD.decode(first.der.as_ref().unwrap()).unwrap(), der);
}

#[test]
fn many_are_described_as_one_by_one() {
    let ders: Vec<&[u8]> = FIXTURES.iter().map(|((_, der), _)| *der).collect();
    let twice = [&ders[..], &ders[..], &[b"nothing"]].concat();
    let mut one_by_one = Describer::new(false);
    let mut batch = Describer::new(false);
    batch.describe(ders[3]);
    let expected: Vec<_> = twice.iter().map(|der| one_by_one.describe(der)).collect();
    assert_eq!(batch.describe_all(&twice), expected);
    assert!(Arc::ptr_eq(&batch.describe_all(&twice)[0], &batch.describe(ders[0])));
}
