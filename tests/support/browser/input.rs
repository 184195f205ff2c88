//! What a person does at a browser: keys, and the size of its window; and what they see.

use anyhow::Result;
use fantoccini::actions::{InputSource, KeyAction, KeyActions};

use super::Tab;

impl Tab<'_> {
    /// Presses keys, one after the other, wherever the keyboard is. Those without a character are WebDriver's
    /// (`fantoccini::key::Key`).
    ///
    /// # Errors
    /// If the browser does not take them.
    pub async fn press(&self, keys: impl IntoIterator<Item = char>) -> Result<()> {
        let keys = keys.into_iter().fold(KeyActions::new("keyboard".to_owned()), |keys, value| {
            keys.then(KeyAction::Down { value }).then(KeyAction::Up { value })
        });
        self.command(self.browser.client.perform_actions(keys)).await
    }

    /// Makes the window so large, in pixels.
    ///
    /// # Errors
    /// If it can't be.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        self.command(self.browser.client.set_window_size(width, height)).await
    }

    /// What is seen of the page, as a PNG.
    ///
    /// # Errors
    /// If there is nothing to see.
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        self.command(self.browser.client.screenshot()).await
    }
}
