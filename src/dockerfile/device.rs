//! The options of `RUN --device=`.

use super::fields::{bool_of, fields};
use super::suggest;

/// A device that a `RUN` asks for (BuildKit, `ParseDevice`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Its name, such as `vendor.com/gpu=all`; empty if none is given.
    pub name: String,
    /// Whether the step fails without it.
    pub required: bool,
}

impl Device {
    /// Reads the value of a `--device`: a name as it is or after `name=`, and `required`. No
    /// variables are expanded in it.
    ///
    /// # Errors
    /// What is wrong, one sentence without a full stop, and one way out.
    pub fn parse(text: &str) -> Result<Device, (String, String)> {
        let list = |fault| (format!("a device cannot be read: {fault}"), "quote a whole option".to_owned());
        let mut device = Device::default();
        for field in fields(text).map_err(list)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (field.as_str(), None),
            };
            match (key.to_lowercase().as_str(), value) {
                ("required", value) => {
                    device.required = bool_of(value).ok_or_else(|| {
                        let message =
                            format!("`required` of a device cannot be `{}`", value.unwrap_or_default());
                        (message, "it is true or false".to_owned())
                    })?;
                }
                ("name", Some(value)) if device.name.is_empty() => value.clone_into(&mut device.name),
                // A name such as `vendor.com/gpu=all` looks like an option.
                _ if device.name.is_empty() => device.name = field,
                ("name", Some(_)) => {
                    let message = format!("a second name for the device `{}`", device.name);
                    return Err((message, "write a `--device` for each".to_owned()));
                }
                (key, _) => {
                    let help = match suggest(key, ["name", "required"]) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => "write a `--device` for each".to_owned(),
                    };
                    return Err((format!("a device has no option `{key}`"), help));
                }
            }
        }
        Ok(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_devices() {
        for (text, name, required) in [
            ("vendor.com/gpu=all", "vendor.com/gpu=all", false),
            ("name=vendor.com/gpu=all,required", "vendor.com/gpu=all", true),
            ("required=0,a", "a", false),
            ("REQUIRED=t,Name=a", "a", true),
            ("a,required=true,required=false", "a", false),
            ("required", "", true),
            ("name=,a", "a", false),
        ] {
            assert_eq!(Device::parse(text), Ok(Device { name: name.to_owned(), required }), "{text}");
        }
        for text in ["", "a,b", "a,name=b", "a,b=c", "required=maybe", "a\"b", "required=", "a,requird"] {
            assert!(Device::parse(text).is_err(), "{text}");
        }
    }
}
