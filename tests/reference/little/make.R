# Little's (1988) test that values are missing completely at random, its formula in plain R: the normal
# distribution by EM to rounding, then the sum of squared distances of the patterns' means.
# Run in this folder:  Rscript make.R
suppressPackageStartupMessages(library(jsonlite))

read_set <- function(package, dataset) {
  if (is.null(package)) return(read.csv(file.path("../../../src/nestwise/data/datasets", dataset), na.strings = ""))
  path <- tempfile(fileext = ".csv")
  python <- Sys.getenv("PYTHON", "../../../.venv/bin/python")
  stopifnot(system2(python, c("../make_data.py", package, dataset, path)) == 0)
  read.csv(path, na.strings = "NA")
}

em <- function(Y) {
  n <- nrow(Y); p <- ncol(Y)
  mu <- colMeans(Y, na.rm = TRUE)
  S <- diag(apply(Y, 2, var, na.rm = TRUE))
  for (step in 1:20000) {
    T1 <- numeric(p); T2 <- matrix(0, p, p)
    for (i in 1:n) {
      o <- !is.na(Y[i, ]); y <- mu; C <- matrix(0, p, p)
      if (any(o)) {
        y[o] <- Y[i, o]
        if (any(!o)) {
          B <- S[!o, o, drop = FALSE] %*% solve(S[o, o, drop = FALSE])
          y[!o] <- mu[!o] + B %*% (Y[i, o] - mu[o])
          C[!o, !o] <- S[!o, !o] - B %*% S[o, !o, drop = FALSE]
        }
      } else C <- S
      T1 <- T1 + y; T2 <- T2 + outer(y, y) + C
    }
    new_mu <- T1 / n; new_S <- T2 / n - outer(new_mu, new_mu)
    change <- max(abs(new_mu - mu) / sqrt(diag(S)), abs(new_S - S) / sqrt(outer(diag(S), diag(S))))
    mu <- new_mu; S <- new_S
    if (change < 1e-12) break
  }
  list(mu = mu, S = S)
}

little <- function(Y) {
  Y <- Y[rowSums(!is.na(Y)) > 0, ]
  fit <- em(Y)
  key <- apply(!is.na(Y), 1, paste, collapse = "")
  d2 <- 0; df <- -ncol(Y)
  for (k in unique(key)) {
    part <- Y[key == k, , drop = FALSE]
    o <- !is.na(part[1, ])
    gap <- colMeans(part[, o, drop = FALSE]) - fit$mu[o]
    d2 <- d2 + nrow(part) * as.numeric(t(gap) %*% solve(fit$S[o, o, drop = FALSE], gap))
    df <- df + sum(o)
  }
  list(statistic = d2, df = df, p = pchisq(d2, df, lower.tail = FALSE), patterns = length(unique(key)),
       mean = unname(fit$mu), covariance = unname(fit$S))
}

btheb <- read_set(NULL, "beat_the_blues.csv")
wide <- reshape(btheb[c("patient", "bdi_pre", "month", "bdi")], idvar = c("patient", "bdi_pre"),
                timevar = "month", direction = "wide")
sets <- list(
  airquality = as.matrix(read_set("datasets", "airquality")),
  beat_the_blues = as.matrix(wide[c(paste0("bdi.", c(2, 3, 5, 8)), "bdi_pre")])
)
said <- lapply(sets, little)
said$published <- list(
  source = "naniar, tests/testthat/test-mcar-test.R: mcar_test(airquality), EM of the package norm, tolerance 1e-4",
  statistic = 35.1061288689702, df = 14, p = 0.00141778113856683, patterns = 4
)
write_json(said, "expected.json", auto_unbox = TRUE, digits = 15, pretty = TRUE)
writeLines(capture.output(sessionInfo()), "session.txt")
