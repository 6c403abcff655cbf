//! `volume.json`: what a volume is, which KMS key it uses, and its wrapped volume key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::crypto::derive::MacKey;

use super::VolumeId;

/// The directory in the backing root that holds the volume's own files.
pub const CONTROL_DIRECTORY: &str = ".kmsfs";
/// The version that this kmsfs writes, and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT: &str = "kmsfs";
/// The incompatible feature of a volume with boundary directories. A kmsfs that does not know it would
/// not notice a file of another label, and refuses the volume.
const BOUNDARIES: &str = "boundaries";
/// What no length in front of a field can be, so that an incompatible feature cannot pass as a
/// compatible one, which a kmsfs may ignore.
const INCOMPATIBLE: u64 = u64::MAX;

/// The configuration of a volume, authentic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeConfig {
    /// The volume's identity.
    pub volume: VolumeId,
    /// ARN of the KMS key that wraps the volume key and the data keys of new files.
    pub key_arn: String,
    /// The volume key, wrapped.
    pub wrapped_volume_key: Vec<u8>,
    /// The volume has boundary directories, or had.
    pub boundaries: bool,
}

/// Why a `volume.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VolumeConfigError {
    /// Not what kmsfs writes.
    #[error("it is damaged: {0}")]
    Corrupt(String),
    /// Written by a later kmsfs.
    #[error(
        "it has format version {0}, this kmsfs reads version {FORMAT_VERSION}; use a newer kmsfs"
    )]
    NewerVersion(u32),
    /// Needs features that this kmsfs does not know.
    #[error("it needs features that this kmsfs does not know: {0}")]
    UnknownFeatures(String),
    /// Its MAC does not hold: a field was altered.
    #[error("it was altered: its MAC does not hold under the volume key")]
    Forged,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: String,
    version: u32,
    volume_id: String,
    compatible_features: Vec<String>,
    read_only_compatible_features: Vec<String>,
    incompatible_features: Vec<String>,
    kms_key: String,
    wrapped_volume_key: String,
    mac: String,
}

/// The two fields that every version has.
#[derive(Deserialize)]
struct Preamble {
    format: String,
    version: u32,
}

/// A configuration that was read but not yet checked against the volume key.
#[derive(Debug)]
pub struct RawVolumeConfig {
    config: VolumeConfig,
    compatible_features: Vec<String>,
    mac: Vec<u8>,
}

impl VolumeConfig {
    /// The text of `volume.json`.
    pub fn encode(&self, key: &MacKey) -> String {
        let mac = key.sign(&[&authenticated(self, &[])]);
        let stored = Stored {
            format: FORMAT.into(),
            version: FORMAT_VERSION,
            volume_id: self.volume.to_string(),
            compatible_features: vec![],
            read_only_compatible_features: vec![],
            incompatible_features: if self.boundaries {
                vec![BOUNDARIES.into()]
            } else {
                vec![]
            },
            kms_key: self.key_arn.clone(),
            wrapped_volume_key: STANDARD.encode(&self.wrapped_volume_key),
            mac: STANDARD.encode(mac),
        };
        let mut text = serde_json::to_string_pretty(&stored).expect("strings serialise");
        text.push('\n');
        text
    }
}

impl RawVolumeConfig {
    /// Reads the text of a `volume.json`.
    ///
    /// # Errors
    /// All but [`VolumeConfigError::Forged`].
    pub fn parse(text: &[u8]) -> Result<Self, VolumeConfigError> {
        let corrupt = |error: &dyn std::fmt::Display| VolumeConfigError::Corrupt(error.to_string());
        let preamble: Preamble = serde_json::from_slice(text).map_err(|error| corrupt(&error))?;
        if preamble.format != FORMAT {
            return Err(corrupt(&format_args!(
                "its format is {:?}",
                preamble.format
            )));
        }
        if preamble.version > FORMAT_VERSION {
            return Err(VolumeConfigError::NewerVersion(preamble.version));
        }
        let stored: Stored = serde_json::from_slice(text).map_err(|error| corrupt(&error))?;
        if stored.version != FORMAT_VERSION {
            return Err(corrupt(&format_args!(
                "there is no format version {}",
                stored.version
            )));
        }
        let boundaries = stored.incompatible_features == [BOUNDARIES];
        let mut unknown = stored.read_only_compatible_features;
        if !boundaries {
            unknown.extend(stored.incompatible_features);
        }
        if !unknown.is_empty() {
            return Err(VolumeConfigError::UnknownFeatures(unknown.join(", ")));
        }
        let bytes = |field: &str, text: &str| {
            STANDARD
                .decode(text)
                .map_err(|error| VolumeConfigError::Corrupt(format!("{field}: {error}")))
        };
        Ok(Self {
            config: VolumeConfig {
                volume: stored.volume_id.parse().map_err(|error| corrupt(&error))?,
                wrapped_volume_key: bytes("wrapped_volume_key", &stored.wrapped_volume_key)?,
                key_arn: stored.kms_key,
                boundaries,
            },
            compatible_features: stored.compatible_features,
            mac: bytes("mac", &stored.mac)?,
        })
    }

    /// What is needed to ask the key service for the volume key. Nothing of it is authentic before
    /// [`RawVolumeConfig::authenticate`] has been passed with the key that comes back.
    pub fn unverified(&self) -> &VolumeConfig {
        &self.config
    }

    /// Checks the configuration under the volume key.
    ///
    /// # Errors
    /// [`VolumeConfigError::Forged`].
    pub fn authenticate(self, key: &MacKey) -> Result<VolumeConfig, VolumeConfigError> {
        key.verify(
            &[&authenticated(&self.config, &self.compatible_features)],
            &self.mac,
        )
        .map_err(|_| VolumeConfigError::Forged)?;
        Ok(self.config)
    }
}

/// Every field but the wrapped key, which its encryption context authenticates; each behind its
/// length, incompatible features behind [`INCOMPATIBLE`], so that no two configurations give the same bytes.
fn authenticated(config: &VolumeConfig, compatible_features: &[String]) -> Vec<u8> {
    let mut bytes = FORMAT_VERSION.to_le_bytes().to_vec();
    bytes.extend(config.volume.as_bytes());
    let features = compatible_features.iter().map(String::as_str);
    for field in std::iter::once(&*config.key_arn).chain(features) {
        bytes.extend((field.len() as u64).to_le_bytes());
        bytes.extend(field.as_bytes());
    }
    if config.boundaries {
        bytes.extend(INCOMPATIBLE.to_le_bytes());
        bytes.extend(BOUNDARIES.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::SecretKey;
    use crate::crypto::derive::VolumeKeys;

    fn key() -> MacKey {
        VolumeKeys::new(&SecretKey::take_from(&mut [1; 32]).unwrap()).config
    }

    fn config() -> VolumeConfig {
        VolumeConfig {
            volume: VolumeId::from_bytes([2; 16]),
            key_arn: "arn:aws:kms:us-east-1:000000000000:key/1".into(),
            wrapped_volume_key: vec![3; 100],
            boundaries: false,
        }
    }

    #[test]
    fn a_configuration_survives_being_written() {
        for boundaries in [false, true] {
            let config = VolumeConfig {
                boundaries,
                ..config()
            };
            let text = config.encode(&key());
            let read = RawVolumeConfig::parse(text.as_bytes()).unwrap();
            assert_eq!(read.authenticate(&key()).unwrap(), config);
        }
    }

    #[test]
    fn an_incompatible_feature_cannot_be_taken_away_added_or_made_a_compatible_one() {
        let with = VolumeConfig {
            boundaries: true,
            ..config()
        };
        let with = with.encode(&key());
        let in_list = "\"incompatible_features\": [\n    \"boundaries\"\n  ]";
        assert!(with.contains(in_list), "{with}");
        let without = with.replace(in_list, "\"incompatible_features\": []");
        let compatible = without.replace(
            "\"compatible_features\": []",
            "\"compatible_features\": [\"boundaries\"]",
        );
        let added = config()
            .encode(&key())
            .replace("\"incompatible_features\": []", in_list);
        for altered in [without, compatible, added] {
            let read = RawVolumeConfig::parse(altered.as_bytes()).unwrap();
            let checked = read.authenticate(&key());
            assert!(
                matches!(checked, Err(VolumeConfigError::Forged)),
                "{altered}"
            );
        }
        let twice = with.replace("\"boundaries\"", "\"boundaries\", \"boundaries\"");
        assert!(matches!(
            RawVolumeConfig::parse(twice.as_bytes()),
            Err(VolumeConfigError::UnknownFeatures(_))
        ));
    }

    #[test]
    fn an_altered_field_is_found() {
        let text = config().encode(&key());
        for (from, to) in [
            (
                "02020202020202020202020202020202",
                "02020202020202020202020202020203",
            ),
            ("key/1", "key/2"),
            (
                "\"compatible_features\": []",
                "\"compatible_features\": [\"x\"]",
            ),
        ] {
            let altered = text.replace(from, to);
            assert_ne!(altered, text);
            let read = RawVolumeConfig::parse(altered.as_bytes()).unwrap();
            assert!(
                matches!(read.authenticate(&key()), Err(VolumeConfigError::Forged)),
                "{from}"
            );
        }
    }

    #[test]
    fn each_kind_of_bad_configuration_is_told_apart() {
        let text = config().encode(&key());
        let parse = |from: &str, to: &str| {
            RawVolumeConfig::parse(text.replace(from, to).as_bytes()).unwrap_err()
        };
        assert!(matches!(
            parse("\"version\": 1", "\"version\": 2"),
            VolumeConfigError::NewerVersion(2)
        ));
        assert!(matches!(
            parse("\"version\": 1", "\"version\": 0"),
            VolumeConfigError::Corrupt(_)
        ));
        assert!(matches!(
            parse("\"mac\"", "\"mca\""),
            VolumeConfigError::Corrupt(_)
        ));
        assert!(matches!(parse("}", ""), VolumeConfigError::Corrupt(_)));
        assert!(matches!(
            parse(
                "\"incompatible_features\": []",
                "\"incompatible_features\": [\"slots\"]"
            ),
            VolumeConfigError::UnknownFeatures(_)
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text: Vec<u8>) {
            prop_assert!(RawVolumeConfig::parse(&text).is_err());
        }
    }
}
