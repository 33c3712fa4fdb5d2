// SPDX-License-Identifier: MIT
// An API key that somebody typed into a page. It lives in this tab's sessionStorage and goes when the tab does: never
// into a cookie, an address or another tab.
//
//     const key = sessionKey("operate");
//     key.set(input.value); key.get(); key.clear();

const PATTERN = /^dk_[A-Za-z0-9_-]{20,80}$/;

export const looksLikeKey = (text) => PATTERN.test(text);

export function sessionKey(purpose) {
  const name = `darkroom.key.${purpose}`;
  let held = ""; // where the browser keeps nothing, it holds until the page is left
  try {
    const text = sessionStorage.getItem(name) || "";
    if (looksLikeKey(text)) held = text;
  } catch {
    // No storage.
  }
  return {
    get: () => held,
    set(text) {
      held = text;
      try {
        sessionStorage.setItem(name, text);
      } catch {
        // Not kept over a reload.
      }
    },
    clear() {
      held = "";
      try {
        sessionStorage.removeItem(name);
      } catch {
        // Nothing was kept.
      }
    },
  };
}
