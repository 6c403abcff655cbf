use std::time::Duration;

use hyper::http::{Request, request::Parts};
use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    Presented, Unauthenticated,
    time::{basic, parse},
};

const SECRET: &[u8] = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SCOPE: &str = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";

fn now() -> Timestamp {
    "2015-08-30T12:36:00Z".parse().unwrap()
}

fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn verify(parts: &Parts, body: &[u8]) -> Result<String, Unauthenticated> {
    let presented = Presented::read(parts)?;
    presented.check(parts, "service", now())?;
    let verified = presented.verify(parts, body, SECRET)?;
    Ok(verified.region)
}

/// A request of the suite, and its signature in the header and in the query.
struct Vector {
    name: &'static str,
    method: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    in_header: &'static str,
    in_query: &'static str,
}

const fn get(name: &'static str, in_header: &'static str, in_query: &'static str) -> Vector {
    Vector {
        name,
        method: "GET",
        query: "",
        headers: &[],
        body: "",
        in_header,
        in_query,
    }
}

/// AWS's published vectors for the path `/`, from the signing test suite that its SDKs share
/// (<https://github.com/awslabs/aws-c-auth/tree/main/tests/aws-signing-test-suite/v4>); what HTTP
/// itself does not carry, such as folded headers and unencoded queries, is left out or encoded.
const SUITE: &[Vector] = &[
    get(
        "get-vanilla",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d",
    ),
    Vector {
        headers: &[
            ("My-Header1", "value2"),
            ("My-Header1", "value2"),
            ("My-Header1", "value1"),
        ],
        ..get(
            "get-header-key-duplicate",
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
            "3349ee0b81b4b589da0ff28a395c3591e04de515651dd74f298fa992d1507a97",
        )
    },
    Vector {
        headers: &[
            ("My-Header1", "value4"),
            ("My-Header1", "value1"),
            ("My-Header1", "value3"),
            ("My-Header1", "value2"),
        ],
        ..get(
            "get-header-value-order",
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
            "313720e71ca6202fdcfa9b20f88de01a4eb0638a83c833b1c184359a4eda864e",
        )
    },
    Vector {
        headers: &[("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
        ..get(
            "get-header-value-trim",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            "e7bb0fd515e125e1aec2ecc4c0c17484fb06f6846b927c35e46005dd3df3acd4",
        )
    },
    Vector {
        query: "Param1=value1",
        ..get(
            "get-vanilla-empty-query-key",
            "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
            "49096700cbbaa5753443850f40df10f904fc2fdb544dc9512203cc77c471a9de",
        )
    },
    Vector {
        query: "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
        ..get(
            "get-vanilla-query-order-encoded",
            "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
            "c5f1848ceec943ac2ca68ee720460c23aaae30a2300586597ada94c4a65e4787",
        )
    },
    Vector {
        query: "Param2=value2&Param1=value1",
        ..get(
            "get-vanilla-query-order-key-case",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            "86012e2c9ad4d77369f5d81c11f75158aae4f895a085212cc6d3f923d300bed5",
        )
    },
    Vector {
        query: "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=\
                -._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        ..get(
            "get-vanilla-query-unreserved",
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            "8e76a88a7433637b12778d5592799b29ad21ecd6cf6325051c21d86f0acda2bf",
        )
    },
    Vector {
        query: "%E1%88%B4=bar",
        ..get(
            "get-vanilla-utf8-query",
            "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
            "0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600",
        )
    },
    Vector {
        method: "POST",
        ..get(
            "post-vanilla",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            "2ce6e6d2e0cf2f9d1b55fafec88cd20574c31dc2e7631979f71ba2310083e95b",
        )
    },
    Vector {
        method: "POST",
        headers: &[("My-Header1", "value1")],
        ..get(
            "post-header-key-sort",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            "c09d07e0d55871f10f2a6d350d994acf6825a3cae70673d7def55616e6119dd7",
        )
    },
    Vector {
        method: "POST",
        headers: &[("My-Header1", "VALUE1")],
        ..get(
            "post-header-value-case",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            "0698bc9e4f7f9139065ba2909c0e99da257e8e2a42492a097bcd46d792391fed",
        )
    },
    Vector {
        method: "POST",
        query: "Param1=value1",
        ..get(
            "post-vanilla-query",
            "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
            "a9ef26247f293bffe40eeff86a0480ba8c14d31503b2e0c3399e3a16bf1a3682",
        )
    },
    Vector {
        method: "POST",
        headers: &[
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Length", "13"),
        ],
        body: "Param1=value1",
        ..get(
            "post-x-www-form-urlencoded",
            "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
            "89a40deed0f26f9461242825a082d2222717248abc7ab41f552ad84a94ad46e9",
        )
    },
];

/// SHA-256 of `Param1=value1`, the one body in the suite.
const BODY_HASH: &str = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";

fn signed_headers(names: impl Iterator<Item = &'static str>) -> String {
    let mut names: Vec<String> = names.map(str::to_lowercase).collect();
    names.push("host".to_owned());
    names.sort();
    names.dedup();
    names.join(";")
}

impl Vector {
    fn signed_in_header(&self) -> Parts {
        let names = self.headers.iter().map(|(name, _)| *name);
        // The suite names the hash in a header of its own where it signs a body.
        let hash = [("X-Amz-Content-Sha256", BODY_HASH)];
        let hash = &hash[..usize::from(!self.body.is_empty())];
        let names = names.chain(hash.iter().map(|(name, _)| *name));
        let signed = signed_headers(names.chain(["x-amz-date"]));
        let signature = self.in_header;
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders={signed}, Signature={signature}"
        );
        let mut headers = vec![
            ("Host", "example.amazonaws.com"),
            ("X-Amz-Date", "20150830T123600Z"),
            ("Authorization", &authorization),
        ];
        headers.extend(self.headers);
        headers.extend(hash);
        parts(self.method, &format!("/?{}", self.query), &headers)
    }

    fn signed_in_query(&self) -> Parts {
        let signed = signed_headers(self.headers.iter().map(|(name, _)| *name));
        let uri = format!(
            "/?{}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date=20150830T123600Z\
             &X-Amz-SignedHeaders={}&X-Amz-Expires=3600&X-Amz-Signature={}",
            self.query,
            SCOPE.replace('/', "%2F"),
            signed.replace(';', "%3B"),
            self.in_query,
        );
        let mut headers = vec![("Host", "example.amazonaws.com")];
        headers.extend(self.headers);
        parts(self.method, &uri, &headers)
    }
}

#[test]
fn every_published_signature_verifies() {
    for vector in SUITE {
        let (name, body) = (vector.name, vector.body.as_bytes());
        let in_header = verify(&vector.signed_in_header(), body);
        assert_eq!(in_header, Ok("us-east-1".to_owned()), "{name}, header");
        let in_query = verify(&vector.signed_in_query(), body);
        assert_eq!(in_query, Ok("us-east-1".to_owned()), "{name}, query");
    }
}

#[test]
fn no_published_signature_verifies_for_another_body_method_or_secret() {
    for vector in SUITE {
        for mut parts in [vector.signed_in_header(), vector.signed_in_query()] {
            let mismatch = |result: Result<String, Unauthenticated>| {
                let Err(Unauthenticated::Invalid(message)) = result else {
                    panic!("{}: {result:?}", vector.name)
                };
                assert!(message.starts_with("The request signature we calculated"));
            };
            mismatch(verify(&parts, b"another"));
            let presented = Presented::read(&parts).unwrap();
            let refused = presented.verify(&parts, vector.body.as_bytes(), b"another");
            assert!(matches!(refused, Err(Unauthenticated::Invalid(_))));
            parts.method = hyper::Method::PUT;
            mismatch(verify(&parts, vector.body.as_bytes()));
        }
    }
}

#[test]
fn http_2_signs_its_authority_as_the_host() {
    let mut parts = SUITE[0].signed_in_header();
    parts.headers.remove("host");
    parts.uri = "https://example.amazonaws.com/".parse().unwrap();
    assert!(verify(&parts, b"").is_ok());
    parts.uri = "https://example.com/".parse().unwrap();
    assert!(verify(&parts, b"").is_err());
}

fn read(headers: &[(&str, &str)]) -> Unauthenticated {
    Presented::read(&parts("POST", "/", headers)).unwrap_err()
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(read(&[]), Unauthenticated::Missing);
    let refused = read(&[("authorization", "AWS4-HMAC-SHA256 Credential=a")]);
    let Unauthenticated::Incomplete(message) = refused else {
        panic!("{refused:?}")
    };
    for part in ["'Signature'", "'SignedHeaders'", "'X-Amz-Date'"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("'Credential'"), "{message}");
}

#[test]
fn other_schemes_and_malformed_credentials_are_incomplete() {
    for authorization in [
        "Basic YTpi",
        "AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d/aws4_request",
        "AWS4-HMAC-SHA256 nonsense",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=00",
    ] {
        let headers = [
            ("authorization", authorization),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let refused = read(&headers);
        assert!(
            matches!(refused, Unauthenticated::Incomplete(_)),
            "{authorization}"
        );
    }
}

/// A request with this scope and these signed headers, checked at this time.
fn checked(scope: &str, signed: &str, at: &str) -> Result<(), Unauthenticated> {
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature=00");
    let headers = [
        ("authorization", &*authorization),
        ("x-amz-date", "20150830T123600Z"),
        ("x-amz-target", "TrentService.ListKeys"),
    ];
    let parts = parts("POST", "/", &headers);
    Presented::read(&parts)?.check(&parts, "service", at.parse().unwrap())
}

const SIGNED: &str = "host;x-amz-date;x-amz-target";
const AT: &str = "2015-08-30T12:36:00Z";

#[test]
fn the_clock_may_be_five_minutes_off_and_no_more() {
    assert_eq!(checked(SCOPE, SIGNED, "2015-08-30T12:41:00Z"), Ok(()));
    assert_eq!(checked(SCOPE, SIGNED, "2015-08-30T12:31:00Z"), Ok(()));
    assert_eq!(
        checked(SCOPE, SIGNED, "2015-08-30T12:41:01Z"),
        Err(Unauthenticated::Invalid(
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z \
             (20150830T124101Z - 5 min.)"
                .to_owned()
        ))
    );
    assert_eq!(
        checked(SCOPE, SIGNED, "2015-08-30T12:30:59Z"),
        Err(Unauthenticated::Invalid(
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z \
             (20150830T123059Z + 5 min.)"
                .to_owned()
        ))
    );
}

#[test]
fn a_scope_for_another_service_day_or_version_is_invalid() {
    for (scope, said) in [
        (
            "A/20150830/us-east-1/s3/aws4_request",
            "correct service: 'service'",
        ),
        (
            "A/20150831/us-east-1/service/aws4_request",
            "'20150831' != '20150830'",
        ),
        (
            "A/20150830/us-east-1/service/aws3_request",
            "not 'aws3_request'",
        ),
    ] {
        let Err(Unauthenticated::Invalid(message)) = checked(scope, SIGNED, AT) else {
            panic!("{scope}")
        };
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn what_decides_over_a_request_has_to_be_signed() {
    for signed in [
        "x-amz-date;x-amz-target",
        "host;x-amz-date",
        "x-amz-target;host",
    ] {
        let refused = checked(SCOPE, signed, AT);
        assert!(
            matches!(refused, Err(Unauthenticated::Invalid(_))),
            "{signed}"
        );
    }
}

#[test]
fn times_are_read_in_both_forms() {
    for text in ["20150830T123600Z", "Sun, 30 Aug 2015 12:36:00 GMT"] {
        assert_eq!(parse(text), Some(now()), "{text}");
    }
    for text in [
        "20150830T123600",
        "20151330T123600Z",
        "2015083\u{660}T12360Z",
        "",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
    assert_eq!(basic(now()), "20150830T123600Z");
}

/// Signs as AWS's own SDK does, for `us-east-1` replaced by `eu-central-1`.
fn sign_with_the_sdk(target: &str, value: &str, body: &[u8]) -> Parts {
    use aws_sigv4::{
        http_request::{SignableBody, SignableRequest, SigningSettings, sign},
        sign::v4,
    };
    let secret = String::from_utf8(SECRET.to_vec()).unwrap();
    let credentials =
        aws_credential_types::Credentials::new("AKIDEXAMPLE", secret, None, None, "test");
    let identity = credentials.into();
    let signing = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-central-1")
        .name("service")
        .time(
            std::time::UNIX_EPOCH
                + Duration::try_from(now().duration_since(Timestamp::UNIX_EPOCH)).unwrap(),
        )
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let uri = "http://127.0.0.1:4566/";
    let headers = [
        ("host", "127.0.0.1:4566"),
        ("x-amz-target", target),
        ("x-value", value),
    ];
    let signable =
        SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Bytes(body)).unwrap();
    let (instructions, _) = sign(signable, &signing).unwrap().into_parts();
    let mut request = Request::new(());
    *request.method_mut() = hyper::Method::POST;
    *request.uri_mut() = uri.parse().unwrap();
    for (name, value) in headers {
        let value = value.parse().unwrap();
        request.headers_mut().insert(name, value);
    }
    instructions.apply_to_request_http1x(&mut request);
    request.into_parts().0
}

proptest! {
    /// Whatever stands in the header or the query, it is refused and not a panic.
    #[test]
    fn nonsense_is_refused(
        authorization in "(AWS4-HMAC-SHA256 )?[ -~]{0,80}",
        date in "[0-9TZ]{0,17}",
        query in "(X-Amz-Signature=[0-9a-f]{0,4}&)?[A-Za-z0-9=&%_-]{0,60}",
    ) {
        let headers = [("authorization", &*authorization), ("x-amz-date", &*date)];
        prop_assert!(verify(&parts("POST", "/", &headers), b"").is_err());
        let mut request = parts("POST", "/", &[]);
        if let Ok(uri) = format!("/?{query}").parse() {
            request.uri = uri;
        }
        prop_assert!(verify(&request, b"").is_err());
    }

    /// An independent implementation's signatures verify, and with one bit of the body changed do not.
    #[test]
    fn what_the_sdk_signs_verifies(
        body in proptest::collection::vec(any::<u8>(), 1..200),
        value in "[!-~][ -~]{0,30}[!-~]",
        bit in any::<proptest::sample::Index>(),
    ) {
        let parts = sign_with_the_sdk("TrentService.Encrypt", &value, &body);
        prop_assert_eq!(verify(&parts, &body), Ok("eu-central-1".to_owned()));
        let mut changed = body;
        let bit = bit.index(changed.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify(&parts, &changed).is_err());
    }
}
