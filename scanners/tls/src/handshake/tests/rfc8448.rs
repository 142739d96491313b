//! The traces of RFC 8448, octet by octet: sections 3 and 5.

use aws_lc_rs::digest::{SHA256, digest};

use super::*;
use crate::{
    hello::{Retry, group},
    schedule::{Opener, Suite},
};

/// The private key of the client in section 3.
const PRIVATE_3: &str = "\
    49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005";
/// The ClientHello in section 3.
const HELLO_3: &str = "\
    16030100c4010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece700000613011303\
    1302010000910000000b0009000006736572766572ff01000100000a00140012001d00170018001901000101010201030104\
    00230000003300260024001d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003\
    020304000d0020001e040305030603020308040805080604010501060102010402050206020202002d00020101001c000240\
    01";
/// The ServerHello in section 3, and what follows under keys.
const SAID_3: &str = "\
    160303005a020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e00\
    330024001d0020c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b0002030417030302a2\
    d1ff334a56f5bff6594a07cc87b580233f500f45e489e7f33af35edf7869fcf40aa40aa2b8ea73f848a7ca07612ef9f945cb\
    960b4068905123ea78b111b429ba9191cd05d2a389280f526134aadc7fc78c4b729df828b5ecf7b13bd9aefb0e57f271585b\
    8ea9bb355c7c79020716cfb9b1183ef3ab20e37d57a6b9d7477609aee6e122a4cf51427325250c7d0e509289444c9b3a648f\
    1d71035d2ed65b0e3cdd0cbae8bf2d0b227812cbb360987255cc744110c453baa4fcd610928d809810e4b7ed1a8fd991f06a\
    a6248204797e36a6a73b70a2559c09ead686945ba246ab66e5edd8044b4c6de3fcf2a89441ac66272fd8fb330ef8190579b3\
    684596c960bd596eea520a56a8d650f563aad27409960dca63d3e688611ea5e22f4415cf9538d51a200c27034272968a264e\
    d6540c84838d89f72c24461aad6d26f59ecaba9acbbb317b66d902f4f292a36ac1b639c637ce343117b659622245317b49ee\
    da0c6258f100d7d961ffb138647e92ea330faeea6dfa31c7a84dc3bd7e1b7a6c7178af36879018e3f252107f243d243dc733\
    9d5684c8b0378bf30244da8c87c843f5e56eb4c5e8280a2b48052cf93b16499a66db7cca71e4599426f7d461e66f99882bd8\
    9fc50800becca62d6c74116dbd2972fda1fa80f85df881edbe5a37668936b335583b599186dc5c6918a396fa48a181d6b6fa\
    4f9d62d513afbb992f2b992f67f8afe67f76913fa388cb5630c8ca01e0c65d11c66a1e2ac4c85977b7c7a6999bbf10dc35ae\
    69f5515614636c0b9b68c19ed2e31c0b3b66763038ebba42f3b38edc0399f3a9f23faa63978c317fc9fa66a73f60f0504de9\
    3b5b845e275592c12335ee340bbc4fddd502784016e4b3be7ef04dda49f4b440a30cb5d2af939828fd4ae3794e44f94df5a6\
    31ede42c1719bfdabf0253fe5175be898e750edc53370d2b";
/// The first private key of the client in section 5.
const PRIVATE_5_X25519: &str = "\
    0ed02f8e8117efc75ca7ac32aa7e34eda64cdc0ddad154a5e85289f959f63204";
/// The second.
const PRIVATE_5_P256: &str = "\
    ab5473467e19346ceb0a0414e41da21d4d2445bc3025afe97c4e8dc8d513da39";
/// The first ClientHello in section 5.
const HELLO_5: &str = "\
    16030100b4010000b00303b0b1c5a5aa37c5919f2ed1d5c6fff7fcb7849716945a2b8cee9258a346677b6f00000613011303\
    1302010000810000000b0009000006736572766572ff01000100000a00080006001d00170018003300260024001d0020e8e8\
    e3f3b93a25ed97a14a7dcacb8a272c6288e585c6484d05262fcad062ad1f002b0003020304000d0020001e04030503060302\
    0308040805080604010501060102010402050206020202002d00020101001c00024001";
/// The HelloRetryRequest.
const RETRY_5: &str = "\
    16030300b0020000ac0303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c00130100008400\
    3300020017002c0074007271dcd04bb88bc3189119398a00000000eefafc76c146b823b096f8aacad365dd0030953f4edf62\
    5636e5f21bb2e23fcc654b1b5b40318d10d137abcbb87574e36e8a1f025f7dfa5d6e50781b5eda4aa15b0c8be778257d16aa\
    3030e9e7841dd9e4c0342267e8ca0caf571fb2b7cff0f934b0002b00020304";
/// The second ClientHello, to which 175 octets of padding belong.
const SECOND_5: &str = "\
    1603030200010001fc0303b0b1c5a5aa37c5919f2ed1d5c6fff7fcb7849716945a2b8cee9258a346677b6f00000613011303\
    1302010001cd0000000b0009000006736572766572ff01000100000a00080006001d001700180033004700450017004104a6\
    da7392ec591e17abfd535964b99894d13befb221b3def2ebe3830eac8f0151812677c4d6d2237e85cf01d6910cfb83954e76\
    ba7352830534159897e8065780002b0003020304000d0020001e040305030603020308040805080604010501060102010402\
    050206020202002c0074007271dcd04bb88bc3189119398a00000000eefafc76c146b823b096f8aacad365dd0030953f4edf\
    625636e5f21bb2e23fcc654b1b5b40318d10d137abcbb87574e36e8a1f025f7dfa5d6e50781b5eda4aa15b0c8be778257d16\
    aa3030e9e7841dd9e4c0342267e8ca0caf571fb2b7cff0f934b0002d00020101001c00024001001500af";
/// The ServerHello in section 5, and what follows under keys.
const SAID_5: &str = "\
    160303007b020000770303bb341d847fd789c47c387172dc0c9bf147fccacb5043d86ca4c598d3ff571b9800130100004f00\
    3300450017004104583e054b7a66672ae020ad9d2686fcc85b5ad41a134a0f03ee72b893052bd85b4c8de6776f5b04ac07d8\
    3540eab3e3d9c547bc6528c4317d294686093a6cad7d002b00020304170303029699bee20baf5b7fc727bfab6223928a381e\
    6d0cf9c4da653f9d2a7b23f7de11cce842d5cf75631763450ffb8b0cc1d238e658af7a12adc86243114ab14a1da2fae42621\
    ce483fb6242eabfaad52566b02b31d2eddedefeb80e66a9900d5f973b40c4fdf74719ecf1b68d7f9c3b6ceb903ca13dd1bb8\
    f8187ae33417e1d152522c5822a1a03ad52c838c55953d610222874cce8e1790b229a2aa0b53c8d377ee720182951dc6181d\
    c5d90bd1f0105ed1e84aa5f75957c6661897079e5ea5007449e3197bdc7c9beeedddeafdd844afa5c315ecfe65e576afe909\
    812880620ec7048b42d7f5c78d76f299d6d82534bdd8f512febc0ed3814aca470cd8000d3e1cb9962b052fbb950df683a52c\
    2ba77ed3713b122937a6e5170964e2ab7969dcd980b3db9b458da7603124d6dc005e4d6e04b4d0c4baf3275db827dbba0a6d\
    b09672171fc057b3851d7e026841e2978fbd2346bbefdd0376bb1108fe9acc92189f5650aa5e85d8e8c7b67ac510dba003d3\
    d7e16350bb66d45013efd44c9b607c0d318c4c7d1a1f5cbc57e20611804e3787d7b4a4b5f08ed8fd70bdaeade02260b12ab8\
    42ef690b4a3ee7911e841b374ecd5ebbbc2a54d047b600336dd7d0c88b4bc10e58ee6cb656de7247fa20d8e91deb84628608\
    cf80615b62e96c1491c7ac3755eb6901405d3474fe1ac79d106a0cee56c2577fc88480f96cb6b8c681b7b68b53c146093908\
    f350888175bdfb0b1e31ad61e30ba0adfe6d223aa03c0783b5001a57587c328a9afcfcfb978d1cd4328f7d9d60530e630bef\
    d96c0c816ee20b0100768ae2a6df51fc68f172740a79af11398ee3be1252491fa9c693479e877f94ab7c5f8cad480203e6ab\
    7b87dd71e8a0729113df17f5eee86ce108d1d72007ec1cd13c85a6c149621e77b7d78d805a30f0be030c315e54";

fn octets(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn sha256(octets: &[u8]) -> Vec<u8> {
    digest(&SHA256, octets).as_ref().to_vec()
}

/// The certificate of both traces.
fn is_rsa(capture: &Capture) {
    assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Ok, TlsStage::Done));
    assert_eq!((capture.version(), capture.cipher()), (Some(0x0304), Some(0x1301)));
    let certificates = certificates(capture);
    assert_eq!(certificates.len(), 1);
    assert_eq!(certificates[0].len(), 432);
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificates[0]).unwrap();
    assert_eq!(parsed.subject().to_string(), "CN=rsa");
    assert_eq!((capture.alpn(), capture.client_auth(), capture.ocsp()), (None, false, None));
}

#[test]
fn a_simple_handshake() {
    let shares = KeyShares::known(&[(group::X25519, &octets(PRIVATE_3))]);
    let script = Script(vec![(octets(HELLO_3), octets(SAID_3))]);
    let (capture, is_enough) = script.play_all_ways(&shares, &[5, 11, 2], Cut::Idle);
    assert!(is_enough && !capture.retried());
    is_rsa(&capture);
    assert_eq!(capture.group(), Some(group::X25519));
    assert_eq!(capture.server_hello(), Some(&octets(SAID_3)[5..95]));
    is_cut_anywhere(&script, &shares);
}

#[test]
fn a_handshake_with_a_second_hello() {
    let keys = [octets(PRIVATE_5_X25519), octets(PRIVATE_5_P256)];
    let shares = KeyShares::known(&[(group::X25519, &keys[0]), (group::SECP256R1, &keys[1])]);
    let second = [octets(SECOND_5), vec![0; 175]].concat();
    let script = Script(vec![(octets(HELLO_5), octets(RETRY_5)), (second, octets(SAID_5))]);
    let (capture, is_enough) = script.play_all_ways(&shares, &[5, 11, 2], Cut::Idle);
    assert!(is_enough && capture.retried());
    is_rsa(&capture);
    assert_eq!(capture.group(), Some(group::SECP256R1));
    is_cut_anywhere(&script, &shares);

    let (used, next) = Handshake::new().read(&octets(HELLO_5), &shares, &octets(RETRY_5));
    assert_eq!(used, octets(RETRY_5).len());
    let Next::Retry(Retry { group, cookie }) = next else { panic!("{next:?}") };
    assert_eq!((group, cookie.len()), (Some(23), 114));
    assert!(second_has(&cookie));
}

fn second_has(cookie: &[u8]) -> bool {
    octets(SECOND_5).windows(cookie.len()).any(|part| part == cookie)
}

#[test]
fn the_keys_of_the_simple_handshake() {
    let secret = octets("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
    let transcript = sha256(&[&octets(HELLO_3)[5..], &octets(SAID_3)[5..95]].concat());
    assert_eq!(
        transcript,
        octets("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8")
    );
    let said = octets(SAID_3);
    let record = &said[95..];
    let mut fragment = record[5..].to_vec();
    let suite = Suite::of(0x1301).unwrap();
    let mut opener = Opener::new(suite, &secret, &transcript).unwrap();
    assert!(
        format!("{opener:?}").contains("iv: [93, 49, 62, 178, 103, 18, 118, 238, 19, 0, 11, 48]")
    );
    let len = opener.open(record[..5].first_chunk().unwrap(), &mut fragment).unwrap();
    assert_eq!(len, 658);
    // EncryptedExtensions first, and the verify_data of Finished last, before the type.
    assert_eq!(&fragment[..6], [8, 0, 0, 36, 0, 34]);
    assert_eq!(
        fragment[len - 33..len],
        octets("9b9b141d906337fbd2cbdce71df4deda4ab42c309572cb7fffee5454b78f071816")
    );
}
