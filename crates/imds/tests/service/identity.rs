//! The signed identity document, checked the way AWS tells its users to, with the openssl command.

use std::path::Path;
use std::process::{Command, Output};

use imds::{Signer, TokenMode};
use jiff::ToSpan;

use crate::common::{Counter, SIGNER, TestService, body, now};

const DIRECTORY: &str = "/latest/dynamic/instance-identity";

/// A directory with what a verifier has: the document, the signatures with PEM lines added, the certificate.
fn files(document: &str) -> tempfile::TempDir {
    let service = TestService::new(&imds::InstanceSpec::default(), &[], TokenMode::Optional);
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("document", document);
    write("certificate", &SIGNER.certificate_pem().unwrap());
    for name in ["signature", "pkcs7", "rsa2048"] {
        let reply = service.get(&format!("{DIRECTORY}/{name}"));
        match name {
            "signature" => write(name, &format!("{}\n", body(&reply))),
            _ => write(name, &format!("-----BEGIN PKCS7-----\n{}\n-----END PKCS7-----\n", body(&reply))),
        }
    }
    dir
}

fn served_document() -> String {
    let service = TestService::new(&imds::InstanceSpec::default(), &[], TokenMode::Optional);
    body(&service.get(&format!("{DIRECTORY}/document"))).to_owned()
}

fn openssl(dir: &Path, script: &str) -> Output {
    let output = Command::new("sh").arg("-ec").arg(script).current_dir(dir).output();
    output.expect("run sh and openssl (install openssl)")
}

/// From "Verify the instance identity document", EC2 user guide: one for each leaf.
const COMMANDS: [(&str, &str); 3] = [
    (
        "signature",
        "openssl x509 -in certificate -pubkey -noout > key
         openssl base64 -d -in signature -out signature.bin
         openssl dgst -sha256 -verify key -signature signature.bin document",
    ),
    (
        "pkcs7",
        "openssl smime -verify -in pkcs7 -inform PEM -content document -certfile certificate -noverify",
    ),
    (
        "rsa2048",
        "openssl smime -verify -in rsa2048 -inform PEM -content document -certfile certificate -noverify",
    ),
];

#[test]
fn openssl_verifies_all_three() {
    let document = served_document();
    let dir = files(&document);
    for (name, command) in COMMANDS {
        let output = openssl(dir.path(), command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        let printed = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
        match name {
            "signature" => assert_eq!(printed.trim(), "Verified OK"),
            _ => assert_eq!(printed, document, "{name}"),
        }
    }
}

#[test]
fn openssl_refuses_a_changed_byte() {
    let document = served_document();
    for (from, to) in [("t3.micro", "t3.macro"), ("\n}", "\n} ")] {
        let changed = document.replace(from, to);
        assert_ne!(changed, document);
        let dir = files(&changed);
        for (name, command) in COMMANDS {
            assert!(!openssl(dir.path(), command).status.success(), "{name} with {to:?}");
        }
    }
}

/// The document need not be given: it is inside, as on EC2. `cms` is `smime` for those who follow newer
/// advice; given a document it turns line ends into CRLF unless told `-binary`, whoever signed.
#[test]
fn the_document_is_inside_and_cms_reads_it_too() {
    let document = served_document();
    let dir = files(&document);
    for name in ["pkcs7", "rsa2048"] {
        for command in ["smime", "cms", "cms -binary -content document"] {
            let script =
                format!("openssl {command} -verify -in {name} -inform PEM -certfile certificate -noverify");
            let output = openssl(dir.path(), &script);
            let printed = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
            assert!(output.status.success() && printed == document, "{script}: {output:?}");
        }
    }
}

/// Whoever trusts the certificate needs no `-noverify`.
#[test]
fn the_certificate_can_be_trusted() {
    let dir = files(&served_document());
    let verified = openssl(
        dir.path(),
        "openssl smime -verify -in pkcs7 -inform PEM -certfile certificate -CAfile certificate",
    );
    assert!(verified.status.success(), "{verified:?}");
    let text = openssl(dir.path(), "openssl x509 -in certificate -noout -subject -issuer -dates");
    assert_eq!(
        String::from_utf8_lossy(&text.stdout),
        "subject=C = US, ST = Washington State, L = Seattle, O = fake-metadata\n\
         issuer=C = US, ST = Washington State, L = Seattle, O = fake-metadata\n\
         notBefore=Jan  1 00:00:00 1970 GMT\nnotAfter=Dec 31 23:59:59 9999 GMT\n"
    );
}

#[test]
fn the_signing_attributes_are_ec2s() {
    let dir = files(&served_document());
    let output = openssl(dir.path(), "openssl cms -cmsout -print -noout -in rsa2048 -inform PEM");
    let text = String::from_utf8_lossy(&output.stdout);
    for line in [
        "certificates:\n      <ABSENT>",
        "object: contentType",
        "object: signingTime",
        "UTCTIME:Sep 26 12:00:01 2026 GMT",
        "object: messageDigest",
        "algorithm: sha256",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

/// On EC2 `signature` is 174 bytes of an RSA-1024 key, `rsa2048` 1487; ours differs by the issuer's name.
#[test]
fn the_shape_is_ec2s() {
    let service = TestService::new(&imds::InstanceSpec::default(), &[], TokenMode::Optional);
    for name in ["signature", "pkcs7", "rsa2048"] {
        let reply = service.get(&format!("{DIRECTORY}/{name}"));
        let lines: Vec<&str> = body(&reply).split('\n').collect();
        let (last, full) = lines.split_last().unwrap();
        assert!(
            full.iter().all(|line| line.len() == 76) && !last.is_empty() && last.len() <= 76,
            "{lines:?}"
        );
        let letters =
            |line: &&str| line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        assert!(lines.iter().all(letters), "{lines:?}");
    }
}

#[test]
fn the_same_again_for_the_same_input_and_after_a_restart() {
    let (key, certificate) = (SIGNER.key_pem().unwrap(), SIGNER.certificate_pem().unwrap());
    let again = Signer::from_pem(&key, &certificate).unwrap();
    let sign = |signer: &Signer, at| signer.sign(b"document".as_slice().into(), at).unwrap();
    assert_eq!(sign(&SIGNER, now()), sign(&again, now()));
    assert_ne!(sign(&SIGNER, now()).pkcs7, sign(&again, now() + 1.second()).pkcs7);
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let other = Signer::generate(&mut Counter(2)).unwrap();
    let error = Signer::from_pem(&other.key_pem().unwrap(), &SIGNER.certificate_pem().unwrap()).unwrap_err();
    assert!(error.to_string().contains("remove both files"), "{error}");
    assert!(Signer::from_pem("", "").is_err());
    assert_eq!(format!("{other:?}"), "Signer");
}
