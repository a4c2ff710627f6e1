/** What the API answers, as far as the page reads it. Times are RFC 3339. */

export interface Ad {
  ad_id: string;
  name: string;
  campaign_id: string;
  advertiser_id: string;
  status: "active" | "paused" | "archived";
  landing_url: string;
}

export interface AdsPage {
  ads: Ad[];
  /** What to send as `after` for the next page; null on the last one. */
  next: string | null;
}

export interface BucketAnswer {
  timestamp: string;
  clicks: number;
  unique_users: number;
  status: "provisional" | "final";
  /** Rises with each correction of final numbers; 0 before the first recount. */
  revision: number;
}

export interface Metrics {
  /** Of one ad. */
  metrics?: BucketAnswer[];
  /** Of a filter. */
  series?: BucketAnswer[];
  totals: { clicks: number; unique_users: number };
  /** null until the first count. */
  as_of: string | null;
  /** Everything before was counted again and is final; null until the first hour is. */
  final_through: string | null;
}

export interface Comparison {
  current: { clicks: number; unique_users: number };
  previous: { start: string; end: string; clicks: number; unique_users: number };
  /** Shares, 0.12 for 12 % more; null where the earlier number is 0. */
  change: { clicks: number | null; unique_users: number | null };
  series: { timestamp: string; previous_clicks: number; previous_unique_users: number }[];
}

export interface Quality {
  received: number;
  counted: number;
  duplicate: number;
  invalid: Record<string, number>;
}

export type Thing = "ads" | "campaigns" | "devices" | "advertisers";

export interface TopRow {
  ad_id?: string;
  campaign_id?: string;
  device?: string;
  advertiser_id?: string;
  clicks: number;
  unique_users: number;
}

/** Who has signed in. */
export interface Identity {
  admin: boolean;
  advertiser_id: string | null;
}

export type View = "chart" | "table";
export type Grain = "minute" | "hour" | "day" | "week" | "month";

/** What the address says. */
export interface Place {
  page: "clicks" | "operations";
  /** The hour whose recount is shown. */
  hour: string;
  /** Filters; empty means all. */
  advertiser: string;
  campaign: string;
  ad: string;
  device: string;
  range: string;
  /** Dates or instants of a range that is not a preset. */
  from: string;
  to: string;
  zone: string;
  /** Empty means: as the range wants it. */
  grain: Grain | "";
  view: View;
}

/** A range before it is known what time it is. */
export interface Range {
  id: string;
  from: string;
  to: string;
  zone: string;
  /** Months up to their end, even if it is still to come. */
  whole?: boolean;
}

/** A bucket as it is drawn: times in epoch milliseconds. */
export interface Bucket {
  startMs: number;
  endMs: number;
  clicks: number;
  users: number;
  /** Counted again from the raw events: it changes no more, but for a correction. */
  final: boolean;
  /** Clicks of the same bucket one period earlier; null where that is not known. */
  before: number | null;
}

/** What a poll has brought so far; `retryMs` is how long it waits before it tries again. */
export interface Polled<T> {
  data: T | null;
  error: Error | null;
  retryMs: number;
}

/** A part's health; `reason` says what is wrong. */
export interface Part {
  healthy: boolean;
  reason: string | null;
}

export interface Status {
  version: string;
  lag_ms: number | null;
  store: Part;
  registry: Part;
  ledger: Part;
  hours: { final_through: string | null; open: number; damaged: number; missing: number } | null;
  archiver: { lag_ms: number; positions: Record<string, string> } | null;
  reconciler: { failed: string | null; failures: string[]; waits: string } | null;
  not_ready: string[];
}

/** What was found about one hour at one time. */
export interface LedgerLine {
  hour: string;
  state: "open" | "final" | "damaged" | "frozen";
  revision: number;
  live: number;
  final: number;
  keys_differed: number;
  difference: number;
  received: number;
  duplicates: number;
  late: number;
  missing: number;
  engine: string;
  duration_ms: number;
  note: string;
}

export interface HourHistory {
  hour: string;
  /** The line whose keys are in `changed`. */
  commit: number;
  lines: LedgerLine[];
  changed: { ad_id: string; minute: string; device: string; outcome: string; old: number; new: number }[];
  next: number | null;
}
