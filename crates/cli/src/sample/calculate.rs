//! Arithmetic by recursive descent: sum, product, power, sign, parentheses.

use serde_json::{Value, json};

use super::Answer;

/// Deeper nesting than anybody writes; it bounds the recursion.
const MAX_DEPTH: usize = 64;

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

pub(super) fn answer(arguments: &Value) -> Answer {
    let expression = arguments["expression"].as_str().unwrap_or_default();
    match evaluate(expression) {
        Ok(value) if value.is_finite() => Answer::Structured(json!({ "value": value })),
        Ok(_) => Answer::Failed("The result is not a finite number: is there a division by zero?".into()),
        Err(message) => Answer::Failed(message),
    }
}

pub(super) fn evaluate(expression: &str) -> Result<f64, String> {
    let mut reader = Reader { rest: expression, depth: 0 };
    let value = reader.sum()?;
    match reader.peek() {
        None => Ok(value),
        Some(unexpected) => Err(format!("`{unexpected}` was not expected there.")),
    }
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: &[char]) -> Option<char> {
        let found = self.peek().filter(|found| wanted.contains(found))?;
        self.rest = &self.rest[found.len_utf8()..];
        Some(found)
    }

    fn sum(&mut self) -> Result<f64, String> {
        let mut value = self.product()?;
        while let Some(sign) = self.take(&['+', '-']) {
            let right = self.product()?;
            value = if sign == '+' { value + right } else { value - right };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<f64, String> {
        let mut value = self.signed()?;
        while let Some(sign) = self.take(&['*', '/', '%']) {
            let right = self.signed()?;
            value = match sign {
                '*' => value * right,
                '/' => value / right,
                _ => value % right,
            };
        }
        Ok(value)
    }

    /// A minus binds looser than a power: -2^2 is -4.
    fn signed(&mut self) -> Result<f64, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("The expression is nested too deeply.".into());
        }
        let value = match self.take(&['-', '+']) {
            Some('-') => -self.signed()?,
            Some(_) => self.signed()?,
            None => {
                let base = self.atom()?;
                if self.take(&['^']).is_some() { base.powf(self.signed()?) } else { base }
            }
        };
        self.depth -= 1;
        Ok(value)
    }

    fn atom(&mut self) -> Result<f64, String> {
        if self.take(&['(']).is_some() {
            let value = self.sum()?;
            return self
                .take(&[')'])
                .map(|_| value)
                .ok_or_else(|| "A closing parenthesis is missing.".into());
        }
        self.peek();
        let length = self.rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(length);
        self.rest = rest;
        number.parse().map_err(|_| match rest.chars().next() {
            Some(found) => format!("A number was expected before `{found}`."),
            None => "A number was expected at the end.".into(),
        })
    }
}
