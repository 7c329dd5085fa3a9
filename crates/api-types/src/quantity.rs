//! Kubernetes quantities: amounts such as `1Gi`, `500m` or `1e3`.
//!
//! Format: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>

/// The amount in units of 1e-9, rounded up as the API server does; `None` when the text is no
/// quantity or does not fit.
pub fn nanos(text: &str) -> Option<i128> {
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let (factor, divisor) = scale(suffix)?;
    let numerator = digits.checked_mul(factor)?.checked_mul(1_000_000_000)?;
    let denominator =
        divisor.checked_mul(10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
    let nanos = numerator / denominator + i128::from(numerator % denominator != 0);
    Some(if negative { -nanos } else { nanos })
}

/// The amount in whole units (bytes of memory or storage), rounded up; `None` when the text is no
/// quantity, is negative or does not fit.
pub fn units(text: &str) -> Option<u64> {
    const NANO: i128 = 1_000_000_000;
    let nanos = nanos(text)?;
    u64::try_from(nanos / NANO + i128::from(nanos % NANO > 0)).ok()
}

/// Factor and divisor of a suffix.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((1_i128 << (10 * power), 1));
    let decimal = |power: u32| Some((10_i128.pow(power), 1));
    match suffix {
        "" => decimal(0),
        "n" => Some((1, 1_000_000_000)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1_000)),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            Some(if exponent < 0 { (1, power) } else { (power, 1) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_counted_in_whole_units() {
        for (text, amount) in [
            ("1Gi", Some(1 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("512M", Some(512_000_000)),
            ("1e9", Some(1_000_000_000)),
            ("1073741824", Some(1 << 30)),
            ("1500m", Some(2)),
            ("0", Some(0)),
            ("-1", None),
            ("", None),
            ("1gi", None),
            ("é", None),
            ("1e99999", None),
        ] {
            assert_eq!(units(text), amount, "{text}");
        }
    }
}
