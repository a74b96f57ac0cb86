# The classical analysis of variance of repeated measures on completers: sums of squares by aov with error
# strata, Mauchly's test and both corrections by the methods of stats for multivariate linear models, and the same by
# car::Anova (type II), which must agree.
# Run in this folder:  Rscript make.R
suppressPackageStartupMessages({
  library(car)
  library(jsonlite)
})
options(contrasts = c("contr.sum", "contr.poly"))

read_set <- function(package, dataset) {
  if (is.null(package)) return(read.csv(file.path("../../../src/nestwise/data/datasets", dataset), na.strings = ""))
  path <- tempfile(fileext = ".csv")
  python <- Sys.getenv("PYTHON", "../../../.venv/bin/python")
  stopifnot(system2(python, c("../make_data.py", package, dataset, path)) == 0)
  read.csv(path, na.strings = "NA")
}

wide_of <- function(frame, subject, time, outcome, arm) {
  keep <- c(subject, arm)
  wide <- reshape(
    frame[c(keep, time, outcome)], idvar = keep, timevar = time, direction = "wide", sep = " "
  )
  columns <- paste(outcome, sort(unique(frame[[time]])))
  wide <- wide[complete.cases(wide[columns]), ]
  list(Y = as.matrix(wide[columns]), arm = if (is.null(arm)) NULL else factor(wide[[arm]]))
}

# stats::mauchly.test has 3 p with p the number of visits where Anderson (2003, 10.7.3) has that of contrasts:
# the p value of the same W, z and f by the formula as it is published.
mauchly_p <- function(W, pp, n) {
  rho <- 1 - (2 * pp^2 + pp + 2) / (6 * pp * n)
  w2 <- (pp + 2) * (pp - 1) * (pp - 2) * (2 * pp^3 + 6 * pp^2 + 3 * pp + 2) / (288 * (n * pp * rho)^2)
  z <- -n * rho * log(W)
  f <- pp * (pp + 1) / 2 - 1
  first <- pchisq(z, f, lower.tail = FALSE)
  first + w2 * (pchisq(z, f + 4, lower.tail = FALSE) - first)
}

answer <- function(Y, arm) {
  T <- ncol(Y)
  visit <- data.frame(visit = factor(seq_len(T)))
  fit <- if (is.null(arm)) lm(Y ~ 1) else lm(Y ~ arm)
  mauchly <- mauchly.test(fit, X = ~1)
  # anova.mlm prints the corrections in its heading; the numbers as car has them are in its summary
  heading <- attr(anova(fit, X = ~1, test = "Spherical"), "heading")
  second <- summary(Anova(fit, idata = visit, idesign = ~visit, type = 2), multivariate = FALSE)
  long <- data.frame(
    y = as.vector(Y), visit = factor(rep(seq_len(T), each = nrow(Y))), id = factor(rep(seq_len(nrow(Y)), T))
  )
  if (is.null(arm)) {
    strata <- summary(aov(y ~ visit + Error(id / visit), long))
  } else {
    long$arm <- rep(arm, T)
    strata <- summary(aov(y ~ arm * visit + Error(id / visit), long))
  }
  rows <- lapply(strata, function(stratum) {
    table <- stratum[[1]]
    data.frame(term = trimws(rownames(table)), df = table$Df, ss = table[["Sum Sq"]],
               F = if (is.null(table[["F value"]])) NA else table[["F value"]],
               p = if (is.null(table[["Pr(>F)"]])) NA else table[["Pr(>F)"]])
  })
  list(
    n = nrow(Y), T = T,
    strata = unname(rows),
    mauchly = list(
      W = unname(mauchly$statistic), p_stats = mauchly$p.value,
      p = mauchly_p(unname(mauchly$statistic), T - 1, fit$df.residual)
    ),
    heading = heading[grepl("epsilon", heading)],
    corrections = as.data.frame(unclass(second$pval.adjustments)),
    terms = rownames(second$pval.adjustments),
    car = data.frame(
      term = rownames(second$univariate.tests), ss = second$univariate.tests[, "Sum Sq"],
      F = second$univariate.tests[, "F value"], p = second$univariate.tests[, "Pr(>F)"]
    )
  )
}

obk <- read_set("carData", "OBrienKaiser")
orthodont <- read_set("nlme", "Orthodont")
sleep <- read_set("lme4", "sleepstudy")
chicks <- read_set("datasets", "ChickWeight")
btheb <- read_set(NULL, "beat_the_blues.csv")

sets <- list(
  OBrienKaiser = list(Y = as.matrix(obk[paste0("pre.", 1:5)]), arm = factor(obk$treatment)),
  Orthodont = wide_of(orthodont, "Subject", "age", "distance", "Sex"),
  sleepstudy = wide_of(sleep, "Subject", "Days", "Reaction", NULL),
  ChickWeight = wide_of(chicks, "Chick", "Time", "weight", "Diet"),
  beat_the_blues = wide_of(btheb, "patient", "month", "bdi", "treatment")
)
said <- lapply(sets, function(set) answer(set$Y, set$arm))
write_json(said, "expected.json", auto_unbox = TRUE, digits = 15, pretty = TRUE, na = "null")
writeLines(capture.output(sessionInfo()), "session.txt")
