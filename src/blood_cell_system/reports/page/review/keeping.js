// Where events are kept: at the server that gave the page, in the browser, or nowhere.

const DATABASE = "blood-cell-review";
const STORE = "events";

// Events at the server; other windows' events come with the next look.
class AtServer {
  constructor(known) {
    this.first = known.events;
    this.total = known.total;
    this.words = "Saved beside the results";
    this.isSafe = true;
  }

  static async open() {
    if (!location.protocol.startsWith("http")) return null;
    try {
      const answer = await fetch("api/events");
      return answer.ok ? new AtServer(await answer.json()) : null;
    } catch {
      return null;
    }
  }

  async load() {
    if (this.first) {
      const events = this.first;
      this.first = null;
      return events;
    }
    const answer = await fetch(`api/events?after=${this.total}`);
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    const { events, total } = await answer.json();
    this.total = total;
    return events;
  }

  async append(events) {
    const answer = await fetch("api/events", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ events }),
    });
    if (!answer.ok) throw new Error((await answer.json().catch(() => null))?.detail ?? `the server answers ${answer.status}`);
  }

  async propose(image, at, box) {
    const answer = await fetch("api/propose", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ image, point: at, box }),
    });
    return answer.ok ? answer.json() : null;
  }
}

const asked = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

// Events in the browser's database, by the results that they are of.
class InBrowser {
  constructor(database, results) {
    this.database = database;
    this.results = results;
    this.words = "Saved in this browser";
    this.isSafe = true;
  }

  static async open(results) {
    try {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => {
        const store = request.result.createObjectStore(STORE, { autoIncrement: true });
        store.createIndex("results", "results");
      };
      return new InBrowser(await asked(request), results);
    } catch {
      return null;
    }
  }

  async load() {
    const index = this.database.transaction(STORE).objectStore(STORE).index("results");
    return (await asked(index.getAll(this.results))).map((row) => row.event);
  }

  append(events) {
    return new Promise((resolve, reject) => {
      const transaction = this.database.transaction(STORE, "readwrite", { durability: "strict" });
      const store = transaction.objectStore(STORE);
      for (const event of events) store.add({ results: this.results, event });
      transaction.oncomplete = () => resolve();
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new Error("the browser's storage is full"));
    });
  }
}

class Nowhere {
  words = "Not saved: this browser keeps nothing. Export before you close the page";
  isSafe = false;

  async load() {
    return [];
  }

  async append() {}
}

export async function openKeeping(results) {
  return (await AtServer.open()) ?? (await InBrowser.open(results)) ?? new Nowhere();
}

// Saves a file: where the browser can the person chooses its place, elsewhere it is downloaded.
export async function saveFile(name, text) {
  if (window.showSaveFilePicker) {
    try {
      const handle = await showSaveFilePicker({
        suggestedName: name,
        types: [{ description: "Corrections", accept: { "application/json": [".json"] } }],
      });
      const file = await handle.createWritable();
      await file.write(text);
      await file.close();
      return true;
    } catch (error) {
      if (error.name === "AbortError") return false;
      // A browser may have it and forbid it: then it is downloaded.
    }
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return true;
}
