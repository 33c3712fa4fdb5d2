// SPDX-License-Identifier: MIT
// The delete page: opening the link only asks, the button acts.
import { deleteJob, forgetTokens, jobOfPage } from "./api.js";

const $ = (id) => document.getElementById(id);
const { id, token } = jobOfPage();

$("confirm").addEventListener("click", async () => {
  $("confirm").disabled = true;
  $("problem").hidden = true;
  try {
    await deleteJob(id, token);
    forgetTokens(id);
    $("question").hidden = $("confirm").hidden = true;
    $("done").textContent = "Deleted. Nothing of it is left here.";
    $("done").hidden = false;
  } catch (problem) {
    if (problem.status === 404) problem.message = "There is nothing left to delete: it was deleted before or has expired.";
    $("problem").textContent = problem.message;
    $("problem").hidden = false;
    $("confirm").disabled = false;
  }
});
