// SPDX-License-Identifier: MIT
// What was filled in and not handed in yet, so that a reload loses nothing: fields in this tab's sessionStorage, the
// picture in IndexedDB. Both are this browser's alone, and gone once it was handed in, a day later at the latest.
//
//     const draft = openDraft(model);           // {fields, crop, key, sending}
//     draft.fields.email = "…"; draft.changed();
//     await draft.keepPicture(blob)             // false: this browser keeps none
//     draft.key                                 // of this very content, until it changes

const DAY_MS = 86400000;
const STORE = "pictures";

const request = (asked) =>
  new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });

function openDatabase() {
  const asked = indexedDB.open("darkroom", 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "id" });
  return request(asked);
}

/** Calls `work` with the store; `fallback` where this browser has none. */
async function withPictures(mode, work, fallback) {
  let database;
  try {
    database = await openDatabase();
    return await work(database.transaction(STORE, mode).objectStore(STORE));
  } catch {
    return fallback;
  } finally {
    database?.close();
  }
}

const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

class Draft {
  constructor(model) {
    this.place = `darkroom.draft.${model}`;
    Object.assign(this, { id: newKey(), key: newKey(), fields: {}, crop: null, sending: false });
    try {
      const kept = JSON.parse(sessionStorage.getItem(this.place));
      if (typeof kept?.id === "string" && typeof kept.key === "string" && typeof kept.fields === "object" && kept.fields)
        Object.assign(this, { id: kept.id, key: kept.key, fields: kept.fields, crop: kept.crop, sending: kept.sending === true });
    } catch {
      // A new one.
    }
  }

  save() {
    const { id, key, fields, crop, sending } = this;
    try {
      sessionStorage.setItem(this.place, JSON.stringify({ id, key, fields, crop, sending }));
    } catch {
      // It is lost with the page, then.
    }
  }

  /** Something else would be handed in now: under another key. */
  changed() {
    this.key = newKey();
    this.sending = false;
    this.save();
  }

  keepPicture(blob) {
    const entry = { id: this.id, blob, at: Date.now() };
    return withPictures("readwrite", async (store) => (await request(store.put(entry)), true), false);
  }

  dropPicture() {
    return withPictures("readwrite", (store) => request(store.delete(this.id)), null);
  }

  /** The blob, or null. Forgets what other tabs left behind long ago. */
  picture() {
    return withPictures("readwrite", async (store) => {
      const found = await request(store.get(this.id));
      for (const entry of await request(store.getAll()))
        if (!(entry.at > Date.now() - DAY_MS)) store.delete(entry.id);
      return found?.blob instanceof Blob ? found.blob : null;
    }, null);
  }

  async clear() {
    try {
      sessionStorage.removeItem(this.place);
    } catch {
      // Nothing was kept.
    }
    await this.dropPicture();
  }
}

export const openDraft = (model) => new Draft(model);
